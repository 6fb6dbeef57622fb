//! A table as an XLSX workbook (ECMA-376, Office Open XML): one sheet, a bold and frozen head, numbers as numbers. The
//! package is a ZIP of stored parts (PKWARE APPNOTE 6.3.3, §4.3), because a browser has nothing that would deflate it and a
//! list of ten thousand rows is small.

/// A cell.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// A text as it is; a spreadsheet never takes it for a formula.
    Text(String),
    /// Decimal digits that a spreadsheet reads exactly as they stand.
    Number(String),
}

impl Cell {
    /// A number where `numeric` and the text is one that a spreadsheet (an IEEE double) keeps whole, else a text.
    pub fn of(text: String, numeric: bool) -> Self {
        let digits = text.bytes().filter(u8::is_ascii_digit).count();
        let plain = text.bytes().enumerate().all(|(i, b)| b.is_ascii_digit() || b == b'.' || (i == 0 && b == b'-'));
        if numeric && plain && (1..=15).contains(&digits) && text.parse::<f64>().is_ok() {
            Cell::Number(text)
        } else {
            Cell::Text(text)
        }
    }
}

/// A workbook of one sheet.
pub fn workbook(name: &str, head: &[&str], rows: &[Vec<Cell>]) -> Vec<u8> {
    let mut sheet = String::from(
        "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\"?>\n\
         <worksheet xmlns=\"http://schemas.openxmlformats.org/spreadsheetml/2006/main\"><sheetViews>\
         <sheetView workbookViewId=\"0\"><pane ySplit=\"1\" topLeftCell=\"A2\" activePane=\"bottomLeft\" state=\"frozen\"/>\
         </sheetView></sheetViews><cols>",
    );
    for (i, title) in head.iter().enumerate() {
        let longest = rows.iter().filter_map(|row| row.get(i)).map(width).max().unwrap_or(0);
        let width = longest.max(title.chars().count()).clamp(8, 60) + 2;
        sheet += &format!("<col min=\"{0}\" max=\"{0}\" width=\"{width}\" customWidth=\"1\"/>", i + 1);
    }
    sheet += "</cols><sheetData><row>";
    for title in head {
        sheet += &text(title, " s=\"1\"");
    }
    sheet += "</row>";
    for row in rows {
        sheet += "<row>";
        for cell in row {
            match cell {
                Cell::Text(words) => sheet += &text(words, ""),
                Cell::Number(digits) => sheet += &format!("<c><v>{digits}</v></c>"),
            }
        }
        sheet += "</row>";
    }
    sheet += "</sheetData></worksheet>";
    // A sheet's name has at most 31 letters, and none of these.
    let name: String = name.chars().filter(|c| !"[]:*?/\\'".contains(*c)).take(31).collect();
    let book = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\"?>\n\
         <workbook xmlns=\"http://schemas.openxmlformats.org/spreadsheetml/2006/main\" \
         xmlns:r=\"http://schemas.openxmlformats.org/officeDocument/2006/relationships\"><sheets>\
         <sheet name=\"{}\" sheetId=\"1\" r:id=\"rId1\"/></sheets></workbook>",
        escaped(if name.is_empty() { "Sheet" } else { &name })
    );
    zip(&[
        ("[Content_Types].xml", TYPES.as_bytes()),
        ("_rels/.rels", ROOT.as_bytes()),
        ("xl/workbook.xml", book.as_bytes()),
        ("xl/_rels/workbook.xml.rels", BOOK.as_bytes()),
        ("xl/styles.xml", STYLES.as_bytes()),
        ("xl/worksheets/sheet1.xml", sheet.as_bytes()),
    ])
}

const TYPES: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\"?>\n\
    <Types xmlns=\"http://schemas.openxmlformats.org/package/2006/content-types\">\
    <Default Extension=\"rels\" ContentType=\"application/vnd.openxmlformats-package.relationships+xml\"/>\
    <Default Extension=\"xml\" ContentType=\"application/xml\"/>\
    <Override PartName=\"/xl/workbook.xml\" ContentType=\"application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml\"/>\
    <Override PartName=\"/xl/worksheets/sheet1.xml\" ContentType=\"application/vnd.openxmlformats-officedocument.spreadsheetml.worksheet+xml\"/>\
    <Override PartName=\"/xl/styles.xml\" ContentType=\"application/vnd.openxmlformats-officedocument.spreadsheetml.styles+xml\"/>\
    </Types>";

const ROOT: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\"?>\n\
    <Relationships xmlns=\"http://schemas.openxmlformats.org/package/2006/relationships\">\
    <Relationship Id=\"rId1\" Type=\"http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument\" Target=\"xl/workbook.xml\"/>\
    </Relationships>";

const BOOK: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\"?>\n\
    <Relationships xmlns=\"http://schemas.openxmlformats.org/package/2006/relationships\">\
    <Relationship Id=\"rId1\" Type=\"http://schemas.openxmlformats.org/officeDocument/2006/relationships/worksheet\" Target=\"worksheets/sheet1.xml\"/>\
    <Relationship Id=\"rId2\" Type=\"http://schemas.openxmlformats.org/officeDocument/2006/relationships/styles\" Target=\"styles.xml\"/>\
    </Relationships>";

/// Style 0 is plain, style 1 is the head's bold.
const STYLES: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\"?>\n\
    <styleSheet xmlns=\"http://schemas.openxmlformats.org/spreadsheetml/2006/main\">\
    <fonts count=\"2\"><font><sz val=\"11\"/><name val=\"Calibri\"/></font><font><b/><sz val=\"11\"/><name val=\"Calibri\"/></font></fonts>\
    <fills count=\"2\"><fill><patternFill patternType=\"none\"/></fill><fill><patternFill patternType=\"gray125\"/></fill></fills>\
    <borders count=\"1\"><border><left/><right/><top/><bottom/><diagonal/></border></borders>\
    <cellStyleXfs count=\"1\"><xf numFmtId=\"0\" fontId=\"0\" fillId=\"0\" borderId=\"0\"/></cellStyleXfs>\
    <cellXfs count=\"2\"><xf numFmtId=\"0\" fontId=\"0\" fillId=\"0\" borderId=\"0\" xfId=\"0\"/>\
    <xf numFmtId=\"0\" fontId=\"1\" fillId=\"0\" borderId=\"0\" xfId=\"0\" applyFont=\"1\"/></cellXfs></styleSheet>";

fn width(cell: &Cell) -> usize {
    match cell {
        Cell::Text(text) | Cell::Number(text) => text.chars().count(),
    }
}

fn text(words: &str, style: &str) -> String {
    format!("<c t=\"inlineStr\"{style}><is><t xml:space=\"preserve\">{}</t></is></c>", escaped(words))
}

/// Text for XML 1.0: markup escaped, and the control characters that it forbids left out.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\t' | '\n' => out.push(letter),
            '\u{0}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => {}
            other => out.push(other),
        }
    }
    out
}

/// A ZIP of stored files. All dates are 1 January 1980, the format's first: equal tables make equal files.
fn zip(files: &[(&str, &[u8])]) -> Vec<u8> {
    const DATE: u16 = (1 << 5) | 1;
    // Version 2.0; bit 11: names are UTF-8; method 0: stored.
    let shared = |crc: u32, size: u32, name: &str| {
        let mut head = Vec::with_capacity(26);
        for half in [20_u16, 1 << 11, 0, 0, DATE] {
            head.extend(half.to_le_bytes());
        }
        for word in [crc, size, size] {
            head.extend(word.to_le_bytes());
        }
        head.extend((name.len() as u16).to_le_bytes());
        head.extend(0_u16.to_le_bytes());
        head
    };
    let (mut out, mut directory) = (Vec::new(), Vec::new());
    for (name, bytes) in files {
        let (at, head) = (out.len() as u32, shared(crc32(bytes), bytes.len() as u32, name));
        out.extend(b"PK\x03\x04");
        out.extend(&head);
        out.extend(name.as_bytes());
        out.extend(*bytes);
        directory.extend(b"PK\x01\x02");
        directory.extend(20_u16.to_le_bytes());
        directory.extend(&head);
        // No comment, first disk, no attributes.
        directory.extend([0; 10]);
        directory.extend(at.to_le_bytes());
        directory.extend(name.as_bytes());
    }
    let at = out.len() as u32;
    out.extend(&directory);
    out.extend(b"PK\x05\x06");
    out.extend([0; 4]);
    for _ in 0..2 {
        out.extend((files.len() as u16).to_le_bytes());
    }
    out.extend((directory.len() as u32).to_le_bytes());
    out.extend(at.to_le_bytes());
    out.extend([0; 2]);
    out
}

/// CRC-32 (ISO 3309), reflected, polynomial 0xEDB88320.
fn crc32(bytes: &[u8]) -> u32 {
    let table: [u32; 256] = std::array::from_fn(|i| {
        (0..8).fold(i as u32, |crc, _| if crc & 1 == 1 { (crc >> 1) ^ 0xEDB8_8320 } else { crc >> 1 })
    });
    !bytes.iter().fold(!0, |crc, byte| table[((crc ^ u32::from(*byte)) & 0xff) as usize] ^ (crc >> 8))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_checksum_is_the_standards() {
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
    }

    #[test]
    fn only_what_a_spreadsheet_keeps_whole_is_a_number() {
        assert_eq!(Cell::of("-1284.50".into(), true), Cell::Number("-1284.50".into()));
        for text in ["1,284.00 EUR", "12345678901234567890", "", "-", "1e5", "=1+1"] {
            assert_eq!(Cell::of(text.into(), true), Cell::Text(text.into()));
        }
        assert_eq!(Cell::of("0042".into(), false), Cell::Text("0042".into()));
    }

    #[test]
    fn parts_stand_where_the_directory_says() {
        let book = workbook("Journal", &["A", "B"], &[vec![Cell::of("<x>".into(), false), Cell::of("7".into(), true)]]);
        let end = book.len() - 22;
        assert_eq!(&book[end..end + 4], b"PK\x05\x06");
        let at = u32::from_le_bytes(book[end + 16..end + 20].try_into().expect("four bytes")) as usize;
        assert_eq!(&book[at..at + 4], b"PK\x01\x02");
        let text = String::from_utf8_lossy(&book);
        assert!(text.contains("&lt;x&gt;") && text.contains("<c><v>7</v></c>"));
    }

    proptest! {
        #[test]
        fn no_text_breaks_out_of_its_cell(words in any::<String>()) {
            let escaped = escaped(&words);
            prop_assert!(!escaped.contains(['<', '>', '"', '\0']));
        }
    }
}
