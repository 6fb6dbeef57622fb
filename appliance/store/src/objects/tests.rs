//! Both storages behave alike: the local one on a real disk, S3 against a real server in this process.

use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
};
use s3s::{auth::SimpleAuth, service::S3ServiceBuilder};
use tempfile::TempDir;

use super::*;

/// Serves a folder as S3 on a free port of the loopback.
async fn serve_s3(root: &std::path::Path) -> S3 {
    // As every program does at its start; another test of this process may have been first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    std::fs::create_dir_all(root.join("bucket")).unwrap();
    let mut service = S3ServiceBuilder::new(s3s_fs::FileSystem::new(root).unwrap());
    service.set_auth(SimpleAuth::from_single("key", "secret"));
    let service = service.build();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let service = service.clone();
            tokio::spawn(async move {
                let _ = Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(socket), service).await;
            });
        }
    });
    S3 {
        endpoint: format!("http://127.0.0.1:{port}"),
        region: "here".to_owned(),
        bucket: "bucket".to_owned(),
        prefix: "box/files".to_owned(),
        access_key: "key".to_owned(),
        secret_key: "secret".to_owned(),
        staging: root.join("staging"),
    }
}

/// Bytes that no compression or alignment hides.
fn noise(size: usize) -> Bytes {
    let mut state = 0x2545_f491_4f6c_dd1du64;
    let step = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    std::iter::repeat_with(step).take(size).collect()
}

async fn behaves(objects: &Objects) {
    for size in [0, 1, 100_000, PART + PIECE + 1] {
        let content = noise(size);
        let hash = objects.put(content.clone()).await.unwrap();
        assert_eq!(hash, Hash::of(&content));
        assert_eq!(objects.size(hash).await.unwrap(), Some(size as u64));
        assert_eq!(objects.get(hash).await.unwrap(), content);
        // Once more changes nothing.
        assert_eq!(objects.put(content).await.unwrap(), hash);
        objects.delete(hash).await.unwrap();
        objects.delete(hash).await.unwrap();
        assert!(!objects.exists(hash).await.unwrap());
        assert!(matches!(objects.get(hash).await, Err(ObjectError::NotFound(h)) if h == hash));
    }
    let pieces = || stream::iter([Ok(Bytes::from_static(b"one ")), Ok(Bytes::from_static(b"two"))]);
    let hash = Hash::of(b"one two");
    assert!(matches!(objects.put_stream(pieces(), 6).await, Err(ObjectError::TooLarge { bound: 6 })));
    let wrong = objects.put_expected(Hash::ZERO, pieces(), 100).await;
    assert!(matches!(wrong, Err(ObjectError::Damaged { found, .. }) if found == hash));
    let broken = stream::iter([Ok(Bytes::from_static(b"one ")), Err(std::io::ErrorKind::UnexpectedEof.into())]);
    assert!(matches!(objects.put_expected(hash, broken, 100).await, Err(ObjectError::Source(_))));
    assert!(!objects.exists(hash).await.unwrap());
    objects.put_expected(hash, pieces(), 7).await.unwrap();
    assert_eq!(objects.get(hash).await.unwrap(), "one two");
    assert_eq!(std::fs::read_dir(&objects.staging).unwrap().count(), 0);
}

#[tokio::test]
async fn local_disk() {
    let dir = TempDir::new().unwrap();
    let objects = Objects::local(dir.path().join("objects")).unwrap();
    behaves(&objects).await;
}

#[tokio::test]
async fn s3() {
    let dir = TempDir::new().unwrap();
    let objects = Objects::s3(serve_s3(dir.path()).await).unwrap();
    behaves(&objects).await;
}

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "damage is what this test wants")]
async fn damage_is_an_error_and_a_second_upload_mends_a_torn_file() {
    let dir = TempDir::new().unwrap();
    let objects = Objects::local(dir.path()).unwrap();
    let content = noise(5_000);
    let hash = objects.put(content.clone()).await.unwrap();
    let path = dir.path().join(objects.path(hash).as_ref());
    let mut bytes = content.to_vec();
    bytes[1_234] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    assert!(matches!(objects.get(hash).await, Err(ObjectError::Damaged { expected, .. }) if expected == hash));
    std::fs::write(&path, &bytes[..100]).unwrap();
    objects.put(content.clone()).await.unwrap();
    assert_eq!(objects.get(hash).await.unwrap(), content);
}

#[tokio::test]
async fn a_storage_out_of_reach_says_so() {
    let dir = TempDir::new().unwrap();
    let mut config = serve_s3(dir.path()).await;
    config.secret_key = "wrong".to_owned();
    let objects = Objects::s3(config).unwrap();
    assert!(matches!(objects.put(noise(10)).await, Err(ObjectError::Storage(_))));
}
