//! Which partitions and chunks there are, in memory: what a search reads before it reads anything.

use std::{
    collections::{BTreeMap, HashMap},
    fs::{self, File, OpenOptions},
    io::{self, Write},
    ops::Range,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use duckdb::{Connection, params};

use super::{
    SearchError,
    query::Needs,
    sketch::{self, BLOCK, Sketch},
};

/// Lines of a chunk.
pub const CHUNK_LINES: u64 = 65_536;

/// A table of logs: a class, and the day of receipt in days since 1970.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Partition {
    /// Name of the class.
    pub class: String,
    /// Day of receipt.
    pub day: i32,
}

impl Partition {
    /// The table's name.
    pub fn table(&self) -> String {
        format!("logs_{}_{}", self.class, self.day)
    }
}

/// A run of lines of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Position of its first line.
    pub first: u64,
    /// Position of its last line.
    pub last: u64,
    /// How many lines.
    pub lines: u64,
    /// Earliest time.
    pub earliest: i64,
    /// Latest time.
    pub latest: i64,
    /// Where its sketch is in the partition's file, bytes.
    pub place: u64,
    /// Blocks of its sketch; 0 for none.
    pub blocks: u32,
}

impl Chunk {
    fn begin(position: u64, time: i64) -> Self {
        Self { first: position, last: position, lines: 0, earliest: time, latest: time, place: 0, blocks: 0 }
    }

    /// Counts a line.
    fn add(&mut self, position: u64, time: i64) {
        self.last = position;
        self.lines += 1;
        self.earliest = self.earliest.min(time);
        self.latest = self.latest.max(time);
    }
}

/// What is known of a partition.
#[derive(Debug, Default)]
pub struct Known {
    /// Full chunks, in order.
    pub sealed: Arc<Vec<Chunk>>,
    /// The one under way.
    pub open: Option<Chunk>,
    /// Its words; `None` when there is none, or when some of its lines were stored before the process began.
    sketch: Option<Sketch>,
    /// The sketches of the full ones.
    file: Option<Arc<File>>,
}

/// All partitions.
#[derive(Debug)]
pub struct Catalogue {
    folder: PathBuf,
    /// By class and day.
    pub partitions: BTreeMap<Partition, Known>,
}

/// A chunk that may hold what is looked for.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// Its partition.
    pub partition: Arc<Partition>,
    /// The chunk.
    pub chunk: Chunk,
}

impl Catalogue {
    /// Reads it out of the database. Lines after the last full chunk become an open one without a sketch.
    pub fn read(connection: &Connection, folder: &Path) -> Result<Self, SearchError> {
        fs::create_dir_all(folder).map_err(|e| SearchError::io(folder, e))?;
        let mut partitions: BTreeMap<Partition, Known> = BTreeMap::new();
        let mut statement = connection.prepare("SELECT class, day FROM partitions")?;
        let rows = statement.query_map([], |row| Ok(Partition { class: row.get(0)?, day: row.get(1)? }))?;
        for partition in rows {
            let partition = partition?;
            let path = sketch_path(folder, &partition);
            let file = File::open(&path).ok().map(Arc::new);
            partitions.insert(partition, Known { file, ..Known::default() });
        }
        let sql = "SELECT class, day, first, last, lines, earliest, latest, place, blocks FROM chunks ORDER BY first";
        let mut statement = connection.prepare(sql)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let chunk = Chunk {
                first: row.get(2)?,
                last: row.get(3)?,
                lines: row.get(4)?,
                earliest: row.get(5)?,
                latest: row.get(6)?,
                place: row.get(7)?,
                blocks: row.get(8)?,
            };
            if let Some(known) = partitions.get_mut(&Partition { class: row.get(0)?, day: row.get(1)? }) {
                Arc::make_mut(&mut known.sealed).push(chunk);
            }
        }
        for (partition, known) in &mut partitions {
            let after = known.sealed.last().map_or(0, |c| c.last + 1);
            let sql = format!(
                "SELECT min(position), max(position), count(*), min(time), max(time) FROM \"{}\" WHERE position >= {after}",
                partition.table()
            );
            known.open = connection.query_row(&sql, [], |row| {
                let Some(first) = row.get(0)? else { return Ok(None) };
                let (last, lines): (u64, i64) = (row.get(1)?, row.get(2)?);
                let lines = lines.unsigned_abs();
                Ok(Some(Chunk { first, last, lines, earliest: row.get(3)?, latest: row.get(4)?, place: 0, blocks: 0 }))
            })?;
        }
        Ok(Self { folder: folder.to_owned(), partitions })
    }

    /// Counts a line that is being stored and notes its words. Answers with the chunk it completed.
    pub fn add(
        &mut self,
        partition: &Partition,
        position: u64,
        time: i64,
        note: impl FnOnce(&mut Sketch),
    ) -> Result<Option<Chunk>, SearchError> {
        let Some(known) = self.partitions.get_mut(partition) else { return Ok(None) };
        if known.open.is_none() {
            known.sketch = Some(known.sketch.take().unwrap_or_default());
        }
        let open = known.open.get_or_insert_with(|| Chunk::begin(position, time));
        open.add(position, time);
        if let Some(sketch) = &mut known.sketch {
            note(sketch);
        }
        if open.lines < CHUNK_LINES {
            return Ok(None);
        }
        self.seal(partition)
    }

    /// Ends the chunk under way of a partition.
    fn seal(&mut self, partition: &Partition) -> Result<Option<Chunk>, SearchError> {
        let Some(known) = self.partitions.get_mut(partition) else { return Ok(None) };
        let Some(mut chunk) = known.open.take() else { return Ok(None) };
        if let Some(sketch) = known.sketch.take() {
            let bytes = sketch.finish();
            let path = sketch_path(&self.folder, partition);
            let (file, place) = append(&path, &bytes).map_err(|e| SearchError::io(&path, e))?;
            chunk.place = place;
            chunk.blocks = (bytes.len() / BLOCK) as u32;
            known.file = Some(Arc::new(file));
        }
        Arc::make_mut(&mut known.sealed).push(chunk);
        Ok(Some(chunk))
    }

    /// Begins a partition. Those of the same class will hardly grow any more: answers with the chunks that this ended.
    pub fn begin(&mut self, partition: &Partition) -> Result<Vec<(Partition, Chunk)>, SearchError> {
        let before: Vec<_> = self.partitions.keys().filter(|p| p.class == partition.class).cloned().collect();
        let mut ended = Vec::new();
        for older in before {
            let chunk = self.seal(&older)?;
            ended.extend(chunk.map(|chunk| (older, chunk)));
        }
        self.partitions.insert(partition.clone(), Known::default());
        Ok(ended)
    }

    /// What searches see of it.
    pub fn view(&self) -> View {
        let view = self.partitions.iter().map(|(partition, known)| Viewed {
            partition: Arc::new(partition.clone()),
            sealed: known.sealed.clone(),
            open: known.open,
            file: known.file.clone(),
        });
        View { partitions: view.collect() }
    }

    /// Forgets a partition and deletes its sketches.
    pub fn forget(&mut self, partition: &Partition) {
        self.partitions.remove(partition);
        // What is left of it is never asked again.
        let _ = fs::remove_file(sketch_path(&self.folder, partition));
    }
}

/// The partitions and chunks as of one commit.
#[derive(Clone, Debug, Default)]
pub struct View {
    partitions: Vec<Viewed>,
}

#[derive(Clone, Debug)]
struct Viewed {
    partition: Arc<Partition>,
    sealed: Arc<Vec<Chunk>>,
    open: Option<Chunk>,
    file: Option<Arc<File>>,
}

impl View {
    /// The chunks with lines of this time that may hold what is needed, newest first, and how many lines were ruled out.
    pub fn candidates(&self, times: &Range<i64>, needs: &Needs) -> (Vec<Candidate>, u64) {
        let mut found = Vec::new();
        let mut ruled_out = 0;
        for known in &self.partitions {
            let within = |chunk: &&Chunk| chunk.latest >= times.start && chunk.earliest < times.end;
            for chunk in known.sealed.iter().chain(&known.open).filter(within) {
                let may = chunk.blocks == 0 || known.file.as_ref().is_none_or(|file| may_hold(file, chunk, needs));
                if may {
                    found.push(Candidate { partition: known.partition.clone(), chunk: *chunk });
                } else {
                    ruled_out += chunk.lines;
                }
            }
        }
        found.sort_by_key(|c| std::cmp::Reverse((c.chunk.latest, c.chunk.last)));
        (found, ruled_out)
    }

    /// All lines.
    pub fn lines(&self) -> u64 {
        self.partitions.iter().map(|k| k.sealed.iter().chain(&k.open).map(|c| c.lines).sum::<u64>()).sum()
    }
}

/// Whether a finished sketch allows for a need. One that cannot be read allows everything.
fn may_hold(file: &File, chunk: &Chunk, needs: &Needs) -> bool {
    let mut asked: HashMap<u64, bool> = HashMap::new();
    needs.met(&mut |hash| {
        *asked.entry(hash).or_insert_with(|| {
            let place = sketch::place(hash, chunk.blocks as usize);
            let mut block = [0; BLOCK];
            let read = file.read_exact_at(&mut block, chunk.place + (place * BLOCK) as u64);
            read.is_err() || sketch::block_may_hold(&block, hash)
        })
    })
}

/// Appends a sketch durably, before anything speaks of it.
fn append(path: &Path, bytes: &[u8]) -> io::Result<(File, u64)> {
    let mut file = OpenOptions::new().create(true).append(true).read(true).open(path)?;
    let place = file.metadata()?.len();
    file.write_all(bytes)?;
    file.sync_data()?;
    Ok((file, place))
}

fn sketch_path(folder: &Path, partition: &Partition) -> PathBuf {
    folder.join(format!("{}.sketch", partition.table()))
}

/// Notes a full chunk, in the transaction that stores its last line.
pub fn insert(connection: &Connection, partition: &Partition, chunk: &Chunk) -> Result<(), SearchError> {
    connection.execute(
        "INSERT INTO chunks VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        params![
            partition.class,
            partition.day,
            chunk.first,
            chunk.last,
            chunk.lines,
            chunk.earliest,
            chunk.latest,
            chunk.place,
            chunk.blocks
        ],
    )?;
    Ok(())
}
