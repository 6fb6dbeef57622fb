//! A page to a PDF, with typst.
//!
//! The template sees two files, its data and the logo, and nothing else: no file system, no packages, no network, no clock.
//! The same data makes the same bytes.

use std::sync::OnceLock;

use sent_core::Timestamp;
use typst::{
    Library, LibraryExt as _, World,
    diag::{FileError, FileResult, SourceDiagnostic},
    foundations::{Bytes, Datetime, Duration, Smart},
    syntax::{FileId, RootedPath, Source, VirtualPath, VirtualRoot},
    text::{Font, FontBook},
    utils::LazyHash,
};
use typst_layout::PagedDocument;
use typst_pdf::PdfOptions;

use crate::{drawing::Page, model::Logo};

/// The template.
const TEMPLATE: &str = include_str!("report.typ");
/// The faces reports are set in.
const FACES: [&[u8]; 2] = [include_bytes!(env!("SENT_FONT_REGULAR")), include_bytes!(env!("SENT_FONT_SEMIBOLD"))];

/// What typst keeps between two reports is worth less than the memory.
const KEPT_RUNS: usize = 0;

/// A finished report.
#[derive(Clone, Debug)]
pub struct Pdf {
    /// The file.
    pub bytes: Vec<u8>,
    /// Its pages.
    pub pages: u32,
}

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// The template does not take the data: a logo that is no picture, or a defect of ours.
    #[error("the report cannot be drawn: {0}")]
    Template(String),
    /// The data cannot be written as JSON.
    #[error("the report cannot be written: {0}")]
    Data(#[from] serde_json::Error),
}

/// Draws a report. Takes part of a second and some tens of megabytes: not for an async thread.
pub fn pdf(page: &Page, logo: Option<&Logo>, id: &str, made: Timestamp) -> Result<Pdf, RenderError> {
    let world = Desk::new(serde_json::to_vec(page)?, logo)?;
    let drawn = draw(&world, id, made);
    comemo::evict(KEPT_RUNS);
    drawn.map_err(|errors| RenderError::Template(told(&errors)))
}

fn draw(world: &Desk, id: &str, made: Timestamp) -> Result<Pdf, Vec<SourceDiagnostic>> {
    let document: PagedDocument = typst::compile(world).output.map_err(|errors| errors.to_vec())?;
    let options = PdfOptions {
        ident: Smart::Custom(id.to_owned()),
        creator: Smart::Custom(Some("SENT".to_owned())),
        timestamp: moment(made).map(typst_pdf::Timestamp::new_utc),
        ..PdfOptions::default()
    };
    let bytes = typst_pdf::pdf(&document, &options).map_err(|errors| errors.to_vec())?;
    Ok(Pdf { bytes, pages: u32::try_from(document.pages().len()).unwrap_or(u32::MAX) })
}

fn moment(at: Timestamp) -> Option<Datetime> {
    let at = jiff::Timestamp::from_microsecond(at.0).ok()?.to_zoned_datetime(jiff::tz::TimeZone::UTC);
    let small = |n: i8| u8::try_from(n).ok();
    Datetime::from_ymd_hms(
        i32::from(at.year()),
        small(at.month())?,
        small(at.day())?,
        small(at.hour())?,
        small(at.minute())?,
        small(at.second())?,
    )
}

fn told(errors: &[SourceDiagnostic]) -> String {
    errors.iter().map(|error| error.message.as_str()).collect::<Vec<_>>().join("; ")
}

/// What stays the same for all reports.
struct Press {
    library: LazyHash<Library>,
    book: LazyHash<FontBook>,
    fonts: Vec<Font>,
}

fn press() -> &'static Press {
    static PRESS: OnceLock<Press> = OnceLock::new();
    PRESS.get_or_init(|| {
        let fonts: Vec<Font> = FACES.iter().flat_map(|face| Font::iter(Bytes::new(*face))).collect();
        Press { library: LazyHash::new(Library::default()), book: LazyHash::new(FontBook::from_fonts(&fonts)), fonts }
    })
}

/// What the template may read.
struct Desk {
    main: Source,
    files: Vec<(FileId, Bytes)>,
}

impl Desk {
    fn new(data: Vec<u8>, logo: Option<&Logo>) -> Result<Self, RenderError> {
        let mut files = vec![(file("data.json")?, Bytes::new(data))];
        if let Some(logo) = logo {
            files.push((file(&logo_file(logo))?, Bytes::new(logo.bytes.clone())));
        }
        Ok(Self { main: Source::new(file("report.typ")?, TEMPLATE.to_owned()), files })
    }
}

/// The name the template finds a logo by.
pub fn logo_file(logo: &Logo) -> String {
    format!("logo.{}", logo.format)
}

fn file(name: &str) -> Result<FileId, RenderError> {
    let path = VirtualPath::new(name).map_err(|e| RenderError::Template(e.to_string()))?;
    Ok(RootedPath::new(VirtualRoot::Project, path).intern())
}

impl World for Desk {
    fn library(&self) -> &LazyHash<Library> {
        &press().library
    }

    fn book(&self) -> &LazyHash<FontBook> {
        &press().book
    }

    fn main(&self) -> FileId {
        self.main.id()
    }

    fn source(&self, id: FileId) -> FileResult<Source> {
        if id == self.main.id() { Ok(self.main.clone()) } else { Err(FileError::AccessDenied) }
    }

    fn file(&self, id: FileId) -> FileResult<Bytes> {
        let found = self.files.iter().find(|(known, _)| *known == id);
        found.map(|(_, bytes)| bytes.clone()).ok_or(FileError::AccessDenied)
    }

    fn font(&self, index: usize) -> Option<Font> {
        press().fonts.get(index).cloned()
    }

    fn today(&self, _offset: Option<Duration>) -> Option<Datetime> {
        None
    }
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;
    use sent_contract::Level;
    use sent_core::report::{Bar, Block, Column, Curve, Figure, Finding, Period, Section};

    use super::*;
    use crate::drawing::part;

    const DAY: i64 = 86_400_000_000;

    fn page(blocks: Vec<Block>) -> Page {
        let period = Period { from: Timestamp(0), to: Timestamp(7 * DAY) };
        let section = Section { title: "Everything".to_owned(), place: 1, summary: None, blocks };
        Page {
            title: "Security report".to_owned(),
            organization: "Northwind #Ltd *bold*".to_owned(),
            branch: "Harbour".to_owned(),
            sender: "Acme IT".to_owned(),
            accent: "#2563eb".to_owned(),
            period: "1 – 7 January 1970".to_owned(),
            zone: "UTC".to_owned(),
            made: "8 January 1970".to_owned(),
            logo: None,
            closing: "Call us.".to_owned(),
            findings: vec![
                Finding { level: Level::Bad, text: "#panic(\"no markup\") $x$ _y_ @z".to_owned() },
                Finding { level: Level::Ok, text: "fine".to_owned() },
            ],
            missing: vec!["guard: no answer".to_owned()],
            sections: vec![part(section, period, &TimeZone::UTC)],
        }
    }

    fn everything() -> Vec<Block> {
        let points = (0..300).map(|n| (n * DAY / 50, (n % 17 != 0).then_some(n as f64))).collect();
        let figure = |level| Figure { label: "Label".to_owned(), value: "12".to_owned(), note: None, level };
        vec![
            Block::Text { text: "Words.".to_owned() },
            Block::Figures { figures: vec![figure(Level::Unknown), figure(Level::Bad)] },
            Block::Bars {
                title: "Bars".to_owned(),
                unit: "bytes".to_owned(),
                bars: vec![Bar { label: "a".to_owned(), value: 3e9, level: Level::Unknown }],
            },
            Block::Curves {
                title: "Curves".to_owned(),
                unit: "count".to_owned(),
                curves: vec![
                    Curve { name: "one".to_owned(), points },
                    Curve { name: "none".to_owned(), points: vec![] },
                ],
            },
            Block::Table {
                title: "Table".to_owned(),
                columns: vec![Column::words("What"), Column::numbers("How many")],
                rows: (0..20).map(|n| vec!["row".to_owned(), n.to_string()]).collect(),
                more: 4,
                empty: String::new(),
            },
        ]
    }

    #[test]
    fn everything_that_can_be_said_is_drawn() {
        let pdf = pdf(&page(everything()), None, "id", Timestamp(0)).unwrap();
        assert!(pdf.bytes.starts_with(b"%PDF-") && pdf.pages >= 2, "{} pages", pdf.pages);
    }

    #[test]
    fn the_same_data_makes_the_same_bytes() {
        let once = || pdf(&page(Vec::new()), None, "id", Timestamp(DAY)).unwrap().bytes;
        assert_eq!(once(), once());
    }

    #[test]
    fn a_logo_that_is_no_picture_is_an_error_that_says_so() {
        let logo = Logo { format: "png", bytes: b"\x89PNG\r\n\x1a\nnothing".to_vec() };
        let with = Page { logo: Some(logo_file(&logo)), ..page(Vec::new()) };
        let error = pdf(&with, Some(&logo), "id", Timestamp(0)).unwrap_err();
        assert!(error.to_string().contains("the report cannot be drawn"), "{error}");
        let drawn =
            Logo { format: "svg", bytes: b"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>".to_vec() };
        let with = Page { logo: Some(logo_file(&drawn)), ..page(Vec::new()) };
        assert!(pdf(&with, Some(&drawn), "id", Timestamp(0)).is_ok());
    }
}
