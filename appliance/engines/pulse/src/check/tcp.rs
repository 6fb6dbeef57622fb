//! Whether a port accepts connections.

use super::{Failure, Reading, connect, shown};

/// Connects once and hangs up.
pub async fn run(host: &str, port: u16) -> Result<Reading, Failure> {
    let (_stream, latency) = connect(host, port).await?;
    Ok(Reading::ok(format!("accepts connections in {}", shown(latency)), latency))
}
