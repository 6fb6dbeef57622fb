//! The one writer: a batch of records and the cursor behind it become durable in one DuckDB transaction, so a line is
//! stored exactly once, wherever the process dies.

use std::{collections::BTreeMap, sync::Arc};

use duckdb::{
    Connection,
    arrow::{
        array::{ArrayRef, BinaryBuilder, Int64Builder, RecordBatch, StringBuilder, UInt64Builder},
        datatypes::{Field, Schema},
        error::ArrowError,
    },
    params,
};

use super::{
    Class, SearchError,
    catalogue::{self, Catalogue, Partition},
    schema::{self, FIELD, VALUE},
    sketch::Sketch,
};
use crate::intake::{
    names::{HOT, KNOWN},
    record::{Batch, Record},
};

/// µs of a day.
const DAY: i64 = 86_400_000_000;

/// The writer's connection.
pub struct Writer {
    connection: Connection,
    cursor: u64,
    numbers: [bool; HOT],
    columns: Columns,
}

impl Writer {
    /// Takes over a connection.
    pub fn new(connection: Connection) -> Result<Self, SearchError> {
        let cursor = connection.query_row("SELECT position FROM cursor", [], |row| row.get(0))?;
        let mut numbers = [false; HOT];
        numbers.iter_mut().zip(KNOWN).for_each(|(number, name)| *number = schema::is_number(name));
        Ok(Self { connection, cursor, numbers, columns: Columns::new(&numbers) })
    }

    /// Everything before this position of the queue is stored.
    pub fn cursor(&self) -> u64 {
        self.cursor
    }

    /// The connection, for what only the writer may do.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Stores the records at or after the cursor, and moves it to `end`. On an error nothing is stored, and `catalogue`
    /// must be read anew.
    pub fn store(
        &mut self,
        batch: &Batch,
        end: u64,
        classes: &[Class],
        catalogue: &mut Catalogue,
    ) -> Result<usize, SearchError> {
        let mut groups: BTreeMap<Partition, Vec<usize>> = BTreeMap::new();
        let mut last: Option<(usize, i32)> = None;
        let mut run = Vec::new();
        let mut stored = 0;
        for (place, record) in batch.records().enumerate().filter(|(_, r)| r.position() >= self.cursor) {
            let class = classes.iter().position(|c| c.holds(&record.log())).unwrap_or(classes.len().saturating_sub(1));
            let day = i32::try_from(record.received().div_euclid(DAY)).unwrap_or_default();
            if last != Some((class, day)) {
                flush(&mut groups, classes, last, &mut run);
                last = Some((class, day));
            }
            run.push(place);
            stored += 1;
        }
        flush(&mut groups, classes, last, &mut run);
        self.connection.execute_batch("BEGIN TRANSACTION")?;
        let done = self
            .store_groups(batch, &groups, end, catalogue)
            .and_then(|()| Ok(self.connection.execute_batch("COMMIT")?));
        if let Err(error) = done {
            // A failed commit has rolled back already; the first error is the one that tells.
            let _ = self.connection.execute_batch("ROLLBACK");
            return Err(error);
        }
        self.cursor = self.cursor.max(end);
        Ok(stored)
    }

    fn store_groups(
        &mut self,
        batch: &Batch,
        groups: &BTreeMap<Partition, Vec<usize>>,
        end: u64,
        catalogue: &mut Catalogue,
    ) -> Result<(), SearchError> {
        for (partition, places) in groups {
            let table = partition.table();
            if !catalogue.partitions.contains_key(partition) {
                self.connection.execute_batch(&schema::create_partition(&table))?;
                self.connection
                    .execute("INSERT INTO partitions VALUES (?, ?)", params![partition.class, partition.day])?;
                for (older, chunk) in catalogue.begin(partition)? {
                    catalogue::insert(&self.connection, &older, &chunk)?;
                }
            }
            for place in places {
                let Some(record) = batch.get(*place) else { continue };
                let rest_at = self.columns.push(&record, &self.numbers);
                let rest = &self.columns.rest_text[rest_at..];
                let full =
                    catalogue.add(partition, record.position(), record.time(), |sketch| note(&record, rest, sketch))?;
                self.columns.rest_text.clear();
                if let Some(chunk) = full {
                    catalogue::insert(&self.connection, partition, &chunk)?;
                }
            }
            let arrays = self.columns.finish();
            let fields: Vec<_> = arrays.iter().map(|c| Field::new("", c.data_type().clone(), true)).collect();
            let rows = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays);
            let rows = rows.map_err(|e: ArrowError| SearchError::Damaged(e.to_string()))?;
            let mut appender = self.connection.appender(&table)?;
            appender.append_record_batch(rows)?;
            appender.flush()?;
        }
        self.connection.execute("UPDATE cursor SET position = ?", [end.max(self.cursor)])?;
        Ok(())
    }
}

fn flush(
    groups: &mut BTreeMap<Partition, Vec<usize>>,
    classes: &[Class],
    last: Option<(usize, i32)>,
    run: &mut Vec<usize>,
) {
    if let Some((class, day)) = last
        && let Some(class) = classes.get(class)
    {
        groups.entry(Partition { class: class.name.clone(), day }).or_default().append(run);
    }
    run.clear();
}

/// Notes the words of a line and the values of its fields.
fn note(record: &Record<'_>, rest: &str, sketch: &mut Sketch) {
    match record.around_message() {
        Some((head, tail)) => {
            sketch.note_text(head);
            sketch.note_text(tail);
        }
        None => sketch.note_text(record.text()),
    }
    if let Some(message) = record.message() {
        sketch.note_text(message);
    }
    sketch.note_text(rest);
    sketch.note_field("log.source.address", record.source());
    let log = record.log();
    sketch.note_field("logsource.product", log.product);
    sketch.note_field("logsource.category", log.category);
    sketch.note_field("logsource.service", log.service);
    record.fields().for_each(|field| sketch.note_field(field.name, field.value));
}

/// Adds a value; the marks between fields are blanked out of it, so that no value can pass for two.
fn push_value(rest: &mut String, value: &str) {
    if memchr::memchr2(FIELD as u8, VALUE as u8, value.as_bytes()).is_none() {
        rest.push_str(value);
    } else {
        rest.extend(value.chars().map(|c| if matches!(c, FIELD | VALUE) { ' ' } else { c }));
    }
}

/// What was said, if anything.
fn said(text: &str) -> Option<&str> {
    Some(text).filter(|t| !t.is_empty())
}

/// A hot column under way.
enum Hot {
    Text(StringBuilder),
    Number(Int64Builder),
}

/// The columns of a table under way; used again for each batch.
struct Columns {
    position: UInt64Builder,
    time: Int64Builder,
    received: Int64Builder,
    texts: [StringBuilder; 7],
    raw: BinaryBuilder,
    rest: StringBuilder,
    rest_text: String,
    hot: Vec<Hot>,
}

impl Columns {
    fn new(numbers: &[bool; HOT]) -> Self {
        let hot = numbers
            .iter()
            .map(|number| if *number { Hot::Number(Int64Builder::new()) } else { Hot::Text(StringBuilder::new()) });
        Self {
            position: UInt64Builder::new(),
            time: Int64Builder::new(),
            received: Int64Builder::new(),
            texts: Default::default(),
            raw: BinaryBuilder::new(),
            rest: StringBuilder::new(),
            rest_text: String::new(),
            hot: hot.collect(),
        }
    }

    /// Adds a record. Answers with where its `rest` begins in `rest_text`.
    fn push(&mut self, record: &Record<'_>, numbers: &[bool; HOT]) -> usize {
        self.position.append_value(record.position());
        self.time.append_value(record.time());
        self.received.append_value(record.received());
        let log = record.log();
        let (head, tail) = match record.around_message() {
            Some((head, tail)) => (head, Some(tail)),
            None => (record.text(), None),
        };
        let texts = [
            said(record.source()),
            said(log.product),
            said(log.category),
            said(log.service),
            Some(head),
            record.message(),
            tail,
        ];
        self.texts.iter_mut().zip(texts).for_each(|(column, text)| column.append_option(text));
        self.raw.append_option((!record.is_faithful()).then(|| record.original()));
        let mut values: [Option<&str>; HOT] = [None; HOT];
        let begin = self.rest_text.len();
        for field in record.fields() {
            let place = field.symbol.0 as usize;
            // Of several values the first is the column's; a number's column takes only numbers.
            let fits =
                place < HOT && values[place].is_none() && (!numbers[place] || field.value.parse::<i64>().is_ok());
            if fits {
                values[place] = Some(field.value);
                continue;
            }
            if self.rest_text.len() == begin {
                self.rest_text.push(FIELD);
            }
            push_value(&mut self.rest_text, field.name);
            self.rest_text.push(VALUE);
            push_value(&mut self.rest_text, field.value);
            self.rest_text.push(FIELD);
        }
        for (column, value) in self.hot.iter_mut().zip(values) {
            match column {
                Hot::Text(column) => column.append_option(value),
                Hot::Number(column) => column.append_option(value.and_then(|v| v.parse().ok())),
            }
        }
        let rest = &self.rest_text[begin..];
        self.rest.append_option((!rest.is_empty()).then_some(rest));
        begin
    }

    /// The columns in the table's order, and none again.
    fn finish(&mut self) -> Vec<ArrayRef> {
        let mut arrays: Vec<ArrayRef> =
            vec![Arc::new(self.position.finish()), Arc::new(self.time.finish()), Arc::new(self.received.finish())];
        arrays.extend(self.texts.iter_mut().map(|t| Arc::new(t.finish()) as ArrayRef));
        arrays.push(Arc::new(self.raw.finish()));
        arrays.push(Arc::new(self.rest.finish()));
        arrays.extend(self.hot.iter_mut().map(|column| match column {
            Hot::Text(column) => Arc::new(column.finish()) as ArrayRef,
            Hot::Number(column) => Arc::new(column.finish()) as ArrayRef,
        }));
        arrays
    }
}
