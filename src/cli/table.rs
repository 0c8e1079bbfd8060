//! Tables for people. `comfy_table` is used only here.
//!
//! On a terminal each row is one line: long cells are cut with `…`, and the least important columns
//! are omitted if the terminal is narrow. Into a pipe or a file the whole text is written.

use std::env;
use std::io::{self, IsTerminal as _};

use comfy_table::{
    CellAlignment, ColumnConstraint, ContentArrangement, Row, Table, Width, presets,
};
use rustix::termios::tcgetwinsize;

use crate::cli::output::line;
use crate::text::sanitize::sanitize;

/// A column of a table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column {
    title: &'static str,
    is_number: bool,
    /// The width to which its cells may be cut; `None` if they may not.
    cut_to: Option<u16>,
    /// Whether it may be omitted: the highest rank goes first, zero never.
    rank: u8,
}

impl Column {
    /// A column with whole cells.
    pub(crate) const fn text(title: &'static str) -> Self {
        Self { title, is_number: false, cut_to: None, rank: 0 }
    }

    /// Numbers, aligned at the right.
    pub(crate) const fn number(title: &'static str) -> Self {
        Self { is_number: true, ..Self::text(title) }
    }

    /// A column with cells that may be cut to this width.
    pub(crate) const fn cut(title: &'static str, cut_to: u16) -> Self {
        Self { cut_to: Some(cut_to), ..Self::text(title) }
    }

    /// The same, omitted on a narrow terminal: those with a high rank first.
    pub(crate) const fn rank(self, rank: u8) -> Self {
        Self { rank, ..self }
    }
}

/// Prints a table, or `empty` when it has no rows.
pub(crate) fn table(columns: &[Column], rows: &[Vec<String>], empty: &str) {
    match rows.is_empty() {
        true => line(empty),
        false => line(&table_of(columns, rows, terminal_width())),
    }
}

/// The width of the terminal that standard output is, `None` for anything else.
fn terminal_width() -> Option<u16> {
    let output = io::stdout();
    if !output.is_terminal() {
        return None;
    }
    let named = env::var("COLUMNS").ok().and_then(|text| text.parse().ok());
    let width = named.or_else(|| Some(tcgetwinsize(&output).ok()?.ws_col));
    Some(width.filter(|width| *width > 0).unwrap_or(USUAL_WIDTH))
}

/// The table with lines of at most `room` columns of a terminal.
fn table_of(columns: &[Column], rows: &[Vec<String>], room: Option<u16>) -> String {
    let (columns, rows) = &without_empty(columns, rows);
    let whole = filled(columns, rows);
    let natural = whole.column_max_content_widths();
    let Some(room) = room else { return lines(&whole) };
    let widths = fit(columns, &natural, room);
    let mut fitted = filled(columns, rows);
    // Cells are cut anywhere: no cell contains this character.
    fitted.set_delimiter('\0').set_content_arrangement(ContentArrangement::Dynamic);
    for (column, width) in fitted.column_iter_mut().zip(&widths) {
        column.set_constraint(match width {
            Some(width) => ColumnConstraint::Absolute(Width::Fixed(width + GAP)),
            None => ColumnConstraint::Hidden,
        });
    }
    let omitted: Vec<&str> = columns
        .iter()
        .zip(&widths)
        .filter(|(_, width)| width.is_none())
        .map(|(column, _)| column.title)
        .collect();
    match omitted.as_slice() {
        [] => lines(&fitted),
        titles => format!(
            "{}\n(not shown, the terminal is too narrow: {}; `--json` has everything)",
            lines(&fitted),
            titles.join(", ")
        ),
    }
}

/// The columns with a cell that is not empty.
fn without_empty(columns: &[Column], rows: &[Vec<String>]) -> (Vec<Column>, Vec<Vec<String>>) {
    let is_used =
        |index: usize| rows.iter().any(|row| row.get(index).is_some_and(|it| !it.is_empty()));
    let used: Vec<bool> = (0..columns.len()).map(is_used).collect();
    let kept = columns.iter().zip(&used).filter_map(|(column, used)| used.then_some(*column));
    let cells = |row: &Vec<String>| {
        row.iter().zip(&used).filter(|(_, used)| **used).map(|(cell, _)| cell.clone()).collect()
    };
    (kept.collect(), rows.iter().map(cells).collect())
}

fn filled(columns: &[Column], rows: &[Vec<String>]) -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(columns.iter().map(|column| column.title.to_uppercase()));
    for row in rows {
        let mut row = Row::from(row.iter().map(|cell| sanitize(cell)).collect::<Vec<_>>());
        row.max_height(1);
        table.add_row(row);
    }
    for (shown, column) in table.column_iter_mut().zip(columns) {
        shown.set_padding((0, GAP));
        if column.is_number {
            shown.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

fn lines(table: &Table) -> String {
    table.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

/// The width of each column in `room`, `None` for an omitted one: first cells are cut, the
/// widest first, then columns are omitted.
fn fit(columns: &[Column], natural: &[u16], room: u16) -> Vec<Option<u16>> {
    let mut shown = vec![true; columns.len()];
    loop {
        let mut widths: Vec<Option<u16>> =
            shown.iter().zip(natural).map(|(shown, width)| shown.then_some(*width)).collect();
        while total(&widths) > u32::from(room) {
            let cut = widths.iter_mut().zip(columns).filter_map(|(width, column)| {
                let width = width.as_mut()?;
                (*width > column.cut_to?).then_some(width)
            });
            match cut.max_by_key(|width| **width) {
                Some(width) => *width -= 1,
                None => break,
            }
        }
        let ranked =
            columns.iter().zip(&mut shown).filter(|(column, shown)| column.rank > 0 && **shown);
        match ranked.max_by_key(|(column, _)| column.rank) {
            Some((_, shown)) if total(&widths) > u32::from(room) => *shown = false,
            Some(_) | None => return widths,
        }
    }
}

/// The width of the table.
fn total(widths: &[Option<u16>]) -> u32 {
    let gap = u32::from(GAP);
    let all: u32 = widths.iter().flatten().map(|width| u32::from(*width) + gap).sum();
    all.saturating_sub(gap)
}

/// The blanks between two columns.
const GAP: u16 = 2;
/// The width of a terminal that does not report its width.
const USUAL_WIDTH: u16 = 80;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::text::characters::{hostile_texts, is_unsafe};

    const COLUMNS: [Column; 4] = [
        Column::cut("name", 12),
        Column::number("attempts").rank(2),
        Column::cut("details", 10).rank(1),
        Column::text("id"),
    ];

    fn row(name: &str) -> Vec<String> {
        [name, "12", "the receiver answered 500", "dlv_01"].map(str::to_owned).into()
    }

    #[test]
    fn a_wide_terminal_and_a_pipe_show_everything() {
        let expected = "NAME  ATTEMPTS  DETAILS                    ID\n\
                        Jane        12  the receiver answered 500  dlv_01";
        assert_eq!(table_of(&COLUMNS, &[row("Jane")], None), expected);
        assert_eq!(table_of(&COLUMNS, &[row("Jane")], Some(80)), expected);
    }

    #[test]
    fn a_column_without_a_text_in_any_row_is_omitted() {
        let [one, other] = ["Jane", "Tom"].map(|name| {
            let mut row = row(name);
            row[2].clear();
            row
        });
        let expected = "NAME  ATTEMPTS  ID\nJane        12  dlv_01\nTom         12  dlv_01";
        for room in [None, Some(80)] {
            assert_eq!(table_of(&COLUMNS, &[one.clone(), other.clone()], room), expected);
        }
    }

    #[test]
    fn a_narrow_terminal_cuts_cells_and_then_omits_columns() {
        let long = "Marketing – Q4 campaign, take two";
        let expected = "NAME             ATTEMPTS  DETAILS          ID\n\
                        Marketing – Q4…        12  the receiver a…  dlv_01";
        assert_eq!(table_of(&COLUMNS, &[row(long)], Some(50)), expected);
        let expected = "NAME              ID\nMarketing – Q4 …  dlv_01\n\
                        (not shown, the terminal is too narrow: attempts, details; `--json` has \
                        everything)";
        assert_eq!(table_of(&COLUMNS, &[row(long)], Some(24)), expected);
    }

    #[test]
    fn names_in_any_script_fit_and_stay_aligned() {
        let names = [
            "Jane",
            "Zoë",
            "Жанна",
            "Ιωάννα",
            "ジェーン・スミス・長い名前です",
            "简的分身数字人名字很长很长",
            "제인의 아바타 이름입니다",
            "جين الصورة الرمزية",
            "ג'יין האווטאר הארוך",
            "जेन का लंबा अवतार",
            "เจนอวตารชื่อยาวมาก",
            "Ջեյն",
            "Z\u{0308}o\u{0308}e\u{0301}\u{0301}\u{0301}",
            "👩\u{200d}🚀👩\u{200d}🚀👩\u{200d}🚀👩\u{200d}🚀👩\u{200d}🚀👩\u{200d}🚀👩\u{200d}🚀",
            "x\u{202e}gpj",
        ];
        let rows: Vec<_> =
            names.iter().map(|name| row(name)).chain([row(&"n".repeat(130))]).collect();
        for room in [20, 24, 40, 60, 80, 200] {
            let shown = table_of(&COLUMNS, &rows, Some(room));
            let shown: Vec<&str> = shown.lines().take(rows.len() + 1).collect();
            assert!(shown[1..].iter().all(|line| line.ends_with("dlv_01")), "{room}: {shown:#?}");
            let mut measured = Table::new();
            measured.load_style(presets::NOTHING);
            for line in &shown[1..] {
                let name = line.trim_end_matches("dlv_01");
                measured.add_row([name]);
                let width = measured.column_max_content_widths()[0];
                let mut one = Table::new();
                one.load_style(presets::NOTHING).add_row([name]);
                assert_eq!(one.column_max_content_widths()[0], width, "{room}: {line}");
            }
        }
    }

    proptest! {
        #[test]
        fn a_table_has_one_line_per_row_for_any_cell(
            cells in prop::collection::vec(hostile_texts(), 1..6),
            room in prop::option::of(30_u16..90),
        ) {
            let columns = [Column::cut("name", 8), Column::text("end")];
            let rows: Vec<_> =
                cells.iter().map(|cell| vec![cell.clone(), "end".to_owned()]).collect();
            let printed = table_of(&columns, &rows, room);
            prop_assert!(!printed.contains(|it: char| it != '\n' && is_unsafe(it)), "{printed:?}");
            prop_assert_eq!(printed.lines().count(), cells.len() + 1);
            prop_assert!(printed.lines().skip(1).all(|line| line.ends_with("end")), "{printed:?}");
        }
    }
}
