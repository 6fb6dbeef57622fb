//! Files by content: an object's name is the SHA-256 of its bytes, on the local disk or in S3.
//!
//! * An object is whole or not there. It is first written beside, hashed on the way, and becomes visible in one step;
//!   locally it is durable before its name is.
//! * What is read is hashed again: damage is an error, never bytes.
//! * Memory is bounded by a few megabytes, however large an object is.
//!
//! Objects lie at `ab/cd/abcd…`, the same in both places.

use std::{path::PathBuf, sync::Arc};

use bytes::Bytes;
use futures::{Stream, StreamExt, TryStreamExt, stream};
use object_store::{
    BackoffConfig, ClientOptions, ObjectStore, ObjectStoreExt, RetryConfig, aws::AmazonS3Builder, buffered::BufWriter,
    local::LocalFileSystem, path::Path as ObjectPath,
};
use sent_core::{Problem, error::Kind};
use sent_protocol::Hash;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Bytes of one part of an upload, S3's minimum being 5 MiB; also what is read from a staged file at once.
const PART: usize = 8 << 20;
/// Bytes of a piece that is copied at once.
const PIECE: usize = 256 << 10;
/// Age at which a staged file is what a crash left.
const ABANDONED: std::time::Duration = std::time::Duration::from_secs(24 * 3600);
/// An object that [`Objects::get`] gives as a whole; larger ones are streamed.
const WHOLE: u64 = 64 << 20;

/// Where objects are in S3.
#[derive(Clone, Debug)]
pub struct S3 {
    /// Address of the service, `https://s3.example.org`; `http://` only where the network is trusted.
    pub endpoint: String,
    /// Region; most services of one's own take any.
    pub region: String,
    /// Bucket. It must be there.
    pub bucket: String,
    /// What all names begin with; may be empty.
    pub prefix: String,
    /// Access key id.
    pub access_key: String,
    /// Secret key.
    pub secret_key: String,
    /// A local folder where uploads are staged until their hash is known.
    pub staging: PathBuf,
}

/// What can go wrong with objects.
#[derive(Debug, thiserror::Error)]
pub enum ObjectError {
    /// There is no such object.
    #[error("there is no object {0}")]
    NotFound(Hash),
    /// The bytes are not those of its name: the disk or the sender damaged them.
    #[error("object {expected} is damaged: its bytes are those of {found}")]
    Damaged {
        /// What it should be.
        expected: Hash,
        /// What it is.
        found: Hash,
    },
    /// Larger than the caller allows.
    #[error("the object is larger than {bound} bytes")]
    TooLarge {
        /// What is allowed.
        bound: u64,
    },
    /// The disk is full.
    #[error("the disk is full: free some space; the object was not stored")]
    Full,
    /// Reading or writing locally failed.
    #[error("{path}: {source}")]
    Io {
        /// Which file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// The bytes could not be read from whoever sends them.
    #[error("the sender broke off: {0}")]
    Source(std::io::Error),
    /// The object storage refused or is out of reach.
    #[error("object storage: {0}")]
    Storage(#[from] object_store::Error),
}

impl ObjectError {
    fn io(path: &std::path::Path, source: std::io::Error) -> Self {
        match source.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => Self::Full,
            _ => Self::Io { path: path.display().to_string(), source },
        }
    }
}

impl From<ObjectError> for Problem {
    fn from(error: ObjectError) -> Self {
        match error {
            ObjectError::NotFound(_) => Self::not_found("file"),
            ObjectError::TooLarge { .. } => Self::new(Kind::TooLarge, error.to_string()),
            ObjectError::Full => Self::new(Kind::Unavailable, error.to_string()).with_retry_after(30),
            ObjectError::Source(_) => Self::invalid("the upload broke off; send it again"),
            ObjectError::Storage(_) => {
                Self::new(Kind::Unavailable, "the object storage is out of reach; try again later")
                    .with_retry_after(30)
                    .with_detail(error)
            }
            other => Self::internal(other),
        }
    }
}

/// A storage of objects. A cheap handle.
#[derive(Clone, Debug)]
pub struct Objects {
    store: Arc<dyn ObjectStore>,
    /// Where uploads are written until their hash is known.
    staging: PathBuf,
    /// The folder that staged files are renamed into; `None` when they are uploaded.
    local: Option<PathBuf>,
    prefix: ObjectPath,
}

impl Objects {
    /// Objects in a folder of the local disk.
    pub fn local(folder: impl Into<PathBuf>) -> Result<Self, ObjectError> {
        let folder = folder.into();
        let staging = folder.join(".staging");
        prepare_staging(&staging)?;
        let store = LocalFileSystem::new_with_prefix(&folder)?;
        Ok(Self { store: Arc::new(store), staging, local: Some(folder), prefix: ObjectPath::default() })
    }

    /// Objects in an S3 bucket. The program must have installed its TLS provider (docs/design/0001).
    pub fn s3(config: S3) -> Result<Self, ObjectError> {
        prepare_staging(&config.staging)?;
        // A short outage is ridden out here; a long one is the caller's to wait for.
        let retry = RetryConfig {
            backoff: BackoffConfig::default(),
            max_retries: 5,
            retry_timeout: std::time::Duration::from_secs(60),
        };
        let store = AmazonS3Builder::new()
            .with_endpoint(&config.endpoint)
            .with_region(&config.region)
            .with_bucket_name(&config.bucket)
            .with_access_key_id(&config.access_key)
            .with_secret_access_key(&config.secret_key)
            .with_allow_http(config.endpoint.starts_with("http://"))
            .with_client_options(ClientOptions::new().with_allow_http(config.endpoint.starts_with("http://")))
            .with_retry(retry)
            .build()?;
        let prefix = ObjectPath::parse(&config.prefix).map_err(object_store::Error::from)?;
        Ok(Self { store: Arc::new(store), staging: config.staging, local: None, prefix })
    }

    /// Stores bytes.
    pub async fn put(&self, bytes: Bytes) -> Result<Hash, ObjectError> {
        let size = bytes.len() as u64;
        self.put_stream(stream::iter([Ok(bytes)]), size).await
    }

    /// Stores a stream of at most `bound` bytes.
    pub async fn put_stream(
        &self,
        bytes: impl Stream<Item = std::io::Result<Bytes>> + Send,
        bound: u64,
    ) -> Result<Hash, ObjectError> {
        let staged = self.stage(bytes, bound).await?;
        let hash = staged.hash;
        self.publish(staged).await?;
        Ok(hash)
    }

    /// Stores a stream whose hash is known; any other content is refused.
    pub async fn put_expected(
        &self,
        expected: Hash,
        bytes: impl Stream<Item = std::io::Result<Bytes>> + Send,
        bound: u64,
    ) -> Result<(), ObjectError> {
        let staged = self.stage(bytes, bound).await?;
        if staged.hash != expected {
            return Err(ObjectError::Damaged { expected, found: staged.hash });
        }
        self.publish(staged).await
    }

    /// An object as a whole, up to 64 MiB.
    pub async fn get(&self, hash: Hash) -> Result<Bytes, ObjectError> {
        let size = self.size(hash).await?.ok_or(ObjectError::NotFound(hash))?;
        if size > WHOLE {
            return Err(ObjectError::TooLarge { bound: WHOLE });
        }
        let pieces: Vec<Bytes> = self.get_stream(hash).await?.try_collect().await?;
        Ok(match <[Bytes; 1]>::try_from(pieces) {
            Ok([whole]) => whole,
            Err(pieces) => pieces.concat().into(),
        })
    }

    /// An object as a stream. Its last item is an error when the bytes were not those of the name: a receiver must not
    /// act on them before the stream has ended well.
    pub async fn get_stream(
        &self,
        hash: Hash,
    ) -> Result<impl Stream<Item = Result<Bytes, ObjectError>> + Send + use<>, ObjectError> {
        let found = self.store.get(&self.path(hash)).await.map_err(|e| not_found(e, hash))?;
        let pieces = found.into_stream();
        Ok(stream::try_unfold(Some((pieces, Sha256::new())), move |state| async move {
            let Some((mut pieces, mut digest)) = state else { return Ok(None) };
            match pieces.next().await {
                Some(piece) => {
                    let piece = piece?;
                    digest.update(&piece);
                    Ok(Some((piece, Some((pieces, digest)))))
                }
                None => {
                    let found = Hash(digest.finalize().into());
                    if found == hash { Ok(None) } else { Err(ObjectError::Damaged { expected: hash, found }) }
                }
            }
        }))
    }

    /// Whether there is such an object.
    pub async fn exists(&self, hash: Hash) -> Result<bool, ObjectError> {
        Ok(self.size(hash).await?.is_some())
    }

    /// Bytes of an object; `None` when there is none.
    pub async fn size(&self, hash: Hash) -> Result<Option<u64>, ObjectError> {
        match self.store.head(&self.path(hash)).await {
            Ok(meta) => Ok(Some(meta.size)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Deletes an object; one that is not there is as good as deleted.
    pub async fn delete(&self, hash: Hash) -> Result<(), ObjectError> {
        match self.store.delete(&self.path(hash)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn path(&self, hash: Hash) -> ObjectPath {
        let name = hash.to_string();
        let parts = [&name[..2], &name[2..4], name.as_str()];
        parts.iter().fold(self.prefix.clone(), |path, part| path.join(*part))
    }

    /// Writes a stream to a file of its own and hashes it. The file goes when its handle is dropped.
    async fn stage(
        &self,
        bytes: impl Stream<Item = std::io::Result<Bytes>> + Send,
        bound: u64,
    ) -> Result<Staged, ObjectError> {
        let io = |e| ObjectError::io(&self.staging, e);
        let (file, path) = tempfile::NamedTempFile::new_in(&self.staging).map_err(io)?.into_parts();
        let mut file = tokio::fs::File::from_std(file);
        let mut digest = Sha256::new();
        let mut size = 0u64;
        let mut bytes = std::pin::pin!(bytes);
        while let Some(piece) = bytes.next().await {
            let piece = piece.map_err(ObjectError::Source)?;
            size = size.saturating_add(piece.len() as u64);
            if size > bound {
                return Err(ObjectError::TooLarge { bound });
            }
            digest.update(&piece);
            file.write_all(&piece).await.map_err(io)?;
        }
        file.flush().await.map_err(io)?;
        Ok(Staged { file, path, hash: Hash(digest.finalize().into()), size })
    }

    async fn publish(&self, staged: Staged) -> Result<(), ObjectError> {
        // Content has one name: what is there already is this, unless it is damaged, which the size tells cheaply.
        if self.size(staged.hash).await? == Some(staged.size) {
            return Ok(());
        }
        match &self.local {
            Some(folder) => publish_locally(folder, &self.path(staged.hash), staged).await,
            None => self.upload(staged).await,
        }
    }

    async fn upload(&self, staged: Staged) -> Result<(), ObjectError> {
        let io = |e| ObjectError::io(&self.staging, e);
        let mut source = tokio::fs::File::open(&staged.path).await.map_err(io)?;
        let mut upload =
            BufWriter::with_capacity(self.store.clone(), self.path(staged.hash), PART).with_max_concurrency(2);
        let mut left = staged.size;
        while left > 0 {
            let mut piece = vec![0; PIECE.min(usize::try_from(left).unwrap_or(PIECE))];
            let read = source.read_exact(&mut piece).await;
            let sent = match read {
                Ok(_) => upload.put(Bytes::from(piece)).await.map_err(ObjectError::from),
                Err(error) => Err(io(error)),
            };
            if let Err(error) = sent {
                // Parts that were sent are given up; a service that is out of reach cleans up by its own rule.
                let _ = upload.abort().await;
                return Err(error);
            }
            left = left.saturating_sub(PIECE as u64);
        }
        upload.shutdown().await.map_err(|e| match e.downcast::<object_store::Error>() {
            Ok(error) => error.into(),
            Err(error) => ObjectError::io(&self.staging, error),
        })
    }
}

/// A file whose hash is known.
struct Staged {
    file: tokio::fs::File,
    path: tempfile::TempPath,
    hash: Hash,
    size: u64,
}

/// Syncs a staged file and gives it its name.
async fn publish_locally(folder: &std::path::Path, path: &ObjectPath, staged: Staged) -> Result<(), ObjectError> {
    let target = folder.join(path.as_ref());
    staged.file.sync_all().await.map_err(|e| ObjectError::io(&target, e))?;
    drop(staged.file);
    let named = tokio::task::spawn_blocking(move || {
        let io = |e| ObjectError::io(&target, e);
        let parent = target.parent().ok_or_else(|| io(std::io::ErrorKind::InvalidInput.into()))?;
        std::fs::create_dir_all(parent).map_err(io)?;
        staged.path.persist(&target).map_err(|e| io(e.error))?;
        // The two folders above may be new as well.
        for folder in parent.ancestors().take(3) {
            std::fs::File::open(folder).and_then(|f| f.sync_all()).map_err(io)?;
        }
        Ok(())
    });
    named.await.unwrap_or_else(|_| Err(ObjectError::io(folder, std::io::ErrorKind::Interrupted.into())))
}

/// Makes the staging folder and clears what a crash left in it.
fn prepare_staging(staging: &std::path::Path) -> Result<(), ObjectError> {
    let io = |e| ObjectError::io(staging, e);
    std::fs::create_dir_all(staging).map_err(io)?;
    for entry in std::fs::read_dir(staging).map_err(io)? {
        let entry = entry.map_err(io)?;
        // Another process may be writing here now; nobody writes one object for a day.
        let age = entry.metadata().and_then(|m| m.modified()).ok().and_then(|m| m.elapsed().ok());
        if age.is_some_and(|age| age > ABANDONED) {
            std::fs::remove_file(entry.path()).map_err(io)?;
        }
    }
    Ok(())
}

fn not_found(error: object_store::Error, hash: Hash) -> ObjectError {
    match error {
        object_store::Error::NotFound { .. } => ObjectError::NotFound(hash),
        error => error.into(),
    }
}

#[cfg(test)]
mod tests;
