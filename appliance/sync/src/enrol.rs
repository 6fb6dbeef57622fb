//! First contact: a claim code, a key of the box's own making, a certificate.
//!
//! The code vouches for the cloud as much as for the box: nothing is said to a server whose chain does not end in the
//! root of its fingerprint, and the root the cloud names for later must be that very one.
use crate::{
    exchange::{Exchange, Outcome},
    identity::{self, Identity, IdentityError},
    tls,
};
use sent_protocol::{
    BranchRef, EnrolRequest, EnrolResponse, OrganizationRef, Refusal,
    claim::{ClaimCode, Fingerprint},
    path,
    sync::Fault,
};
use std::path::Path;
use url::Url;

/// What a box says of itself when it joins.
#[derive(Clone, Debug)]
pub struct Enrolment {
    /// The cloud's wire address, `https://host:port`.
    pub cloud: Url,
    /// The code as a person typed it.
    pub claim: ClaimCode,
    /// Name of the box.
    pub box_name: String,
    /// Version of its program.
    pub version: String,
    /// Organisation of a box that was stand-alone.
    pub organization: Option<OrganizationRef>,
    /// Its branch.
    pub branch: Option<BranchRef>,
}

/// Why a box did not join.
#[derive(Debug, thiserror::Error)]
pub enum EnrolError {
    /// It has joined already.
    #[error("this box is enrolled with {0} already")]
    Enrolled(Url),
    /// The server is not the one the code vouches for.
    #[error("the server is not the cloud this code belongs to: {0}")]
    OtherCloud(String),
    /// The cloud does not take the code, or the request.
    #[error("the cloud refuses: {0}")]
    Refused(String),
    /// The cloud cannot be reached now.
    #[error("the cloud cannot be reached: {0}")]
    Unreachable(String),
    /// Keys, certificates, the disk.
    #[error(transparent)]
    Identity(#[from] IdentityError),
}

/// Asks to enrol the box of a data folder. The answer also carries the organisation's data key, which the caller hands to the
/// cipher; then it saves the identity ([`Identity::save`]), and the box is enrolled. Until then, after a lost answer or any
/// other end, calling it again asks with the same key.
pub async fn enrol(data: &Path, enrolment: Enrolment) -> Result<(Identity, EnrolResponse), EnrolError> {
    if let Some(identity) = Identity::load(data)? {
        return Err(EnrolError::Enrolled(identity.cloud));
    }
    let key = identity::pending_key(data)?;
    let request = EnrolRequest {
        claim: enrolment.claim.secret.clone(),
        csr_pem: identity::request(&key)?,
        box_name: enrolment.box_name,
        version: enrolment.version,
        organization: enrolment.organization,
        branch: enrolment.branch,
    };
    let config = tls::first_contact(enrolment.claim.fingerprint).map_err(|e| EnrolError::OtherCloud(e.to_string()))?;
    let exchange =
        Exchange::new(enrolment.cloud.clone(), config).map_err(|e| EnrolError::Unreachable(e.to_string()))?;
    let answer: EnrolResponse = match exchange.post(path::ENROL, &request).await {
        Ok(Outcome::Done(answer)) => answer,
        Ok(Outcome::Conflict(refusal)) => {
            let refusal: Refusal = refusal;
            return Err(EnrolError::Refused(refusal.message));
        }
        Err(Fault::Untrusted(cause)) => return Err(EnrolError::OtherCloud(cause)),
        Err(Fault::Network(cause) | Fault::Unavailable(cause)) => return Err(EnrolError::Unreachable(cause)),
        Err(Fault::Refused(cause) | Fault::TooLarge(cause) | Fault::Revoked(cause) | Fault::Local(cause)) => {
            return Err(EnrolError::Refused(cause));
        }
    };
    let roots = identity::certificates(&answer.ca_pem)?;
    if !roots.iter().all(|root| Fingerprint::of(root) == enrolment.claim.fingerprint) {
        return Err(EnrolError::OtherCloud("it names another root than the code does".into()));
    }
    Ok((Identity::from_answer(enrolment.cloud, &key, &answer)?, answer))
}
