//! The live table as it is drawn: no input, no time, no thread.

use fyke::Progress;
use fyke::connect::time_to_text;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Cell, Paragraph, Row, Table, TableState, Wrap};

use super::board::{Board, Shown, SortBy};
use crate::terminal::{count, printable, shortened};

/// Rows that the table holds at most: nobody scrolls further.
const ROWS_MAX: usize = 2_000;

/// What the person sees and has chosen.
#[derive(Debug, Default)]
pub struct View {
    /// In the order that was asked for.
    shown: Vec<Shown>,
    clients: usize,
    classes: String,
    progress: Progress,
    sort: SortBy,
    table: TableState,
}

impl View {
    /// Takes what is known now; the chosen client stays chosen.
    pub fn update(&mut self, board: &Board, progress: Progress) {
        let chosen = self.chosen().map(name_of);
        self.take_rows(board);
        let classes = board.classes().into_iter().map(|(class, clients, _)| format!("{} {class}", count(clients)));
        self.classes = classes.collect::<Vec<_>>().join(", ");
        self.progress = progress;
        let again = chosen.and_then(|name| self.shown.iter().position(|shown| name_of(shown) == name));
        self.table.select(again.or(self.table.selected()));
    }

    /// Sorts otherwise, and goes back to the top.
    pub fn sort(&mut self, by: SortBy, board: &Board) {
        self.sort = by;
        self.take_rows(board);
        self.table.select(None);
    }

    fn take_rows(&mut self, board: &Board) {
        self.shown = board.sorted(self.sort);
        self.clients = self.shown.len();
        self.shown.truncate(ROWS_MAX);
    }

    /// Chooses another client, so many rows further down.
    pub fn go(&mut self, rows: isize) {
        let last = self.shown.len().saturating_sub(1);
        let now = self.table.selected().map_or(if rows > 0 { -1 } else { 0 }, |at| at as isize);
        let next = now.saturating_add(rows).clamp(0, last as isize);
        self.table.select((!self.shown.is_empty()).then_some(next.unsigned_abs()));
    }

    fn chosen(&self) -> Option<&Shown> {
        self.shown.get(self.table.selected()?)
    }

    /// Draws all of it.
    pub fn draw(&mut self, frame: &mut Frame<'_>) {
        let areas =
            Layout::vertical([Constraint::Length(1), Constraint::Min(3), Constraint::Length(5), Constraint::Length(1)]);
        let [head, table, reasons, keys] = areas.areas(frame.area());
        frame.render_widget(Paragraph::new(self.head()), head);
        let rows: Vec<Row<'static>> = self.shown.iter().map(|shown| row_of(shown, table.width)).collect();
        let sort = self.sort;
        let widths = [12, 6, 40.min(table.width / 4), 9, 8].map(Constraint::Length);
        let widths: Vec<Constraint> = widths.into_iter().chain([Constraint::Fill(1), Constraint::Fill(1)]).collect();
        let drawn = Table::new(rows, widths)
            .header(header(sort))
            .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED));
        frame.render_stateful_widget(drawn, table, &mut self.table);
        frame.render_widget(self.reasons(), reasons);
        let help = " s score · r requests · l last seen · ↑ ↓ choose · q leave";
        frame.render_widget(Line::styled(help, Style::new().fg(Color::DarkGray)), keys);
    }

    fn head(&self) -> Line<'static> {
        let (read, _, late, dead) = self.progress.totals();
        let mut text = format!(" {} requests · {} clients: {}", count(read), count(self.clients as u64), self.classes);
        for (number, what) in [(late, "late"), (dead, "unreadable")] {
            if number > 0 {
                text.push_str(&format!(" · {} {what}", count(number)));
            }
        }
        if let Some(mark) = self.progress.sources.iter().filter_map(|source| source.watermark).min() {
            text.push_str(&format!(" · judged until {}", time_to_text(mark)));
        }
        Line::styled(text, Style::new().add_modifier(Modifier::BOLD))
    }

    fn reasons(&self) -> Paragraph<'static> {
        let block = Block::bordered();
        let Some(shown) = self.chosen().or_else(|| self.shown.first()) else {
            return Paragraph::new("waiting for the first minute to close").block(block);
        };
        let verdict = &shown.verdict;
        let title = format!(" {} — {} ", printable(&verdict.client_ip), shortened(&verdict.agent, 100));
        let reasons = verdict.reasons.iter().map(|reason| Line::raw(format!("· {}", printable(reason))));
        Paragraph::new(reasons.collect::<Vec<_>>()).wrap(Wrap { trim: false }).block(block.title(title))
    }
}

fn name_of(shown: &Shown) -> (String, String, String) {
    let verdict = &shown.verdict;
    (verdict.customer.clone(), verdict.client_ip.clone(), verdict.agent.clone())
}

fn header(sort: SortBy) -> Row<'static> {
    let marked = |name: &str, by| if sort == by { format!("{name}▾") } else { name.to_owned() };
    let names = [
        "class".to_owned(),
        marked("score", SortBy::Score),
        "client".to_owned(),
        marked("requests", SortBy::Requests),
        marked("last", SortBy::LastSeen),
        "agent".to_owned(),
        "why".to_owned(),
    ];
    Row::new(names.map(Cell::from)).style(Style::new().add_modifier(Modifier::UNDERLINED))
}

fn row_of(shown: &Shown, width: u16) -> Row<'static> {
    let verdict = &shown.verdict;
    let colour = match verdict.class.as_str() {
        "bot" => Color::Red,
        "suspect" => Color::Yellow,
        "declared_bot" | "verified_bot" => Color::Blue,
        _ => Color::Reset,
    };
    let wide = usize::from(width);
    let text = |text: &str| Cell::from(shortened(text, wide));
    let right = |text: String, width: usize| Cell::from(format!("{text:>width$}"));
    // the time of day: the date is in the head
    let time = time_to_text(verdict.last_time);
    let time = time.split_once('T').map_or("", |(_, time)| time.get(..8).unwrap_or(time));
    Row::new([
        Cell::from(Span::styled(shortened(&verdict.class, 12), Style::new().fg(colour))),
        right(format!("{:.0}", verdict.score), 5),
        text(&verdict.client_ip),
        right(count(verdict.requests), 8),
        text(time),
        text(&verdict.agent),
        text(verdict.reasons.first().map_or("", String::as_str)),
    ])
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::super::board::testing::row;
    use super::*;

    fn screen(view: &mut View) -> String {
        let mut terminal = Terminal::new(TestBackend::new(120, 14)).expect("terminal");
        terminal.draw(|frame| view.draw(frame)).expect("drawn");
        terminal.backend().to_string()
    }

    fn board() -> Board {
        let mut board = Board::default();
        board.take(row("10.0.0.1", "human", 3.0, 400, 0));
        board.take(row("10.0.0.2", "bot", 97.0, 30, 0));
        board
    }

    fn line_of(screen: &str, word: &str) -> usize {
        screen.lines().position(|line| line.contains(word)).unwrap_or_else(|| panic!("{word} in\n{screen}"))
    }

    #[test]
    fn gravest_client_stands_first_with_its_reasons_below() {
        let mut view = View::default();
        view.update(&board(), Progress::default());
        let text = screen(&mut view);
        assert!(line_of(&text, "10.0.0.2") < line_of(&text, "10.0.0.1"), "{text}");
        assert!(text.contains("score▾") && text.contains("· reason of 10.0.0.2"), "{text}");
        assert!(text.contains("2 clients: 1 bot, 1 human"), "{text}");
    }

    #[test]
    fn keys_sort_and_choose() {
        let (board, mut view) = (board(), View::default());
        view.update(&board, Progress::default());
        view.sort(SortBy::Requests, &board);
        let text = screen(&mut view);
        assert!(line_of(&text, "10.0.0.1") < line_of(&text, "10.0.0.2"), "{text}");
        view.go(1);
        view.go(1);
        view.go(100);
        assert_eq!(view.chosen().map(|shown| shown.verdict.client_ip.as_str()), Some("10.0.0.2"));
        view.go(-100);
        assert_eq!(view.table.selected(), Some(0));
    }

    #[test]
    fn chosen_client_stays_chosen_when_others_overtake_it() {
        let (mut board, mut view) = (board(), View::default());
        view.update(&board, Progress::default());
        view.go(1);
        board.take(row("10.0.0.3", "bot", 99.0, 1, 0));
        view.update(&board, Progress::default());
        assert_eq!(view.chosen().map(|shown| shown.verdict.client_ip.as_str()), Some("10.0.0.2"));
    }

    #[test]
    fn empty_or_tiny_screens_are_drawn() {
        let mut view = View::default();
        view.go(1);
        assert!(screen(&mut view).contains("waiting"));
        let mut terminal = Terminal::new(TestBackend::new(3, 2)).expect("terminal");
        terminal.draw(|frame| view.draw(frame)).expect("drawn");
    }
}
