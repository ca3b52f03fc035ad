use std::io::{self, Write};

/// Rows under headings, in columns. Long ones can be written a part at a time.
pub struct Table {
    /// A heading that begins with a blank is of numbers, which stand at the right.
    headings: Vec<&'static str>,
    widths: Vec<usize>,
    rows: Vec<Vec<String>>,
    headed: bool,
}

impl Table {
    pub fn new(headings: &[&'static str]) -> Table {
        Table {
            headings: headings.to_vec(),
            widths: headings.iter().map(|it| it.trim_start().len()).collect(),
            rows: Vec::new(),
            headed: false,
        }
    }

    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let cells: Vec<String> = cells.into_iter().collect();
        for (width, cell) in self.widths.iter_mut().zip(&cells) {
            *width = (*width).max(cell.chars().count());
        }
        self.rows.push(cells);
    }

    /// Writes the rows added since the last time, under the headings the first time.
    pub fn write(&mut self, out: &mut dyn Write) -> io::Result<()> {
        if !self.headed {
            self.headed = true;
            let headings = self.headings.iter().map(|it| it.trim_start().to_owned());
            self.rows.insert(0, headings.collect());
        }
        for row in std::mem::take(&mut self.rows) {
            let mut line = String::new();
            for ((cell, width), heading) in row.iter().zip(&self.widths).zip(&self.headings) {
                let blanks = " ".repeat(width.saturating_sub(cell.chars().count()));
                line += &match heading.starts_with(' ') {
                    true => format!("{blanks}{cell}  "),
                    false => format!("{cell}{blanks}  "),
                };
            }
            writeln!(out, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_at_the_left_and_numbers_at_the_right() {
        let mut table = Table::new(&["NAME", " COUNT", "WHY"]);
        table.row(["güte", "7", ""].map(str::to_owned));
        table.row(["a", "1234567", "so"].map(str::to_owned));
        let mut out = Vec::new();
        table.write(&mut out).unwrap();
        table.row(["later", "1", "x"].map(str::to_owned));
        table.write(&mut out).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "NAME    COUNT  WHY\n\
             güte        7\n\
             a     1234567  so\n\
             later        1  x\n"
        );
    }
}
