//! The live table's loop: verdicts in, keys in, a screen out.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use fyke::{Driver, Error, Progress, Result};
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::board::{Board, SortBy};
use super::verdicts::Collected;
use super::view::View;
use crate::terminal::{Bar, REFRESH};

/// How long a key may wait, and how often the screen is drawn at least.
const TICK: Duration = Duration::from_millis(250);

type Run = JoinHandle<Result<Progress>>;

/// Reads what is there behind a bar, then follows on the screen until the person leaves.
///
/// # Errors
/// What the run or the terminal failed with.
pub fn follow(driver: Driver, rows: &Collected, bar: Bar) -> Result<Progress> {
    let (stop, progress) = (driver.stop_signal(), driver.progress_handle());
    let run = std::thread::Builder::new().name("fyke-watch".to_owned()).spawn(move || driver.run());
    let run = run.map_err(|error| Error::unavailable("no thread for the run").detail(error))?;
    let mut board = Board::default();
    catch_up(&run, &progress, rows, &mut board, bar);
    let mut shown = Ok(());
    if !run.is_finished() {
        shown = ratatui::try_init().map_err(failed).and_then(|mut terminal| {
            let outcome = show(&mut terminal, &run, &progress, rows, &mut board);
            ratatui::restore();
            outcome
        });
    }
    stop.stop();
    let progress = run.join().unwrap_or_else(|_| Err(Error::internal("the run's thread panicked")))?;
    shown.map(|()| progress)
}

fn now(progress: &Mutex<Progress>) -> Progress {
    progress.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

fn catch_up(run: &Run, progress: &Arc<Mutex<Progress>>, rows: &Collected, board: &mut Board, bar: Bar) {
    loop {
        let progress = now(progress);
        rows.drain().into_iter().for_each(|row| board.take(row));
        if run.is_finished() || progress.sources.iter().all(|source| source.caught_up) {
            bar.finish();
            return;
        }
        bar.show(&progress);
        std::thread::sleep(REFRESH);
    }
}

fn show(
    terminal: &mut DefaultTerminal,
    run: &Run,
    progress: &Mutex<Progress>,
    rows: &Collected,
    board: &mut Board,
) -> Result<()> {
    let mut view = View::default();
    while !run.is_finished() {
        rows.drain().into_iter().for_each(|row| board.take(row));
        view.update(board, now(progress));
        terminal.draw(|frame| view.draw(frame)).map_err(failed)?;
        if event::poll(TICK).map_err(failed)?
            && let Event::Key(key) = event::read().map_err(failed)?
            && key.kind == KeyEventKind::Press
            && !obey(&mut view, board, key)
        {
            return Ok(());
        }
    }
    Ok(())
}

/// Does what a key asks for; false to leave.
fn obey(view: &mut View, board: &Board, key: KeyEvent) -> bool {
    match key.code {
        KeyCode::Char('q') | KeyCode::Esc => return false,
        KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => return false,
        KeyCode::Char('s') => view.sort(SortBy::Score, board),
        KeyCode::Char('r') => view.sort(SortBy::Requests, board),
        KeyCode::Char('l') => view.sort(SortBy::LastSeen, board),
        KeyCode::Up | KeyCode::Char('k') => view.go(-1),
        KeyCode::Down | KeyCode::Char('j') => view.go(1),
        KeyCode::PageUp => view.go(-20),
        KeyCode::PageDown => view.go(20),
        KeyCode::Home => view.go(isize::MIN),
        KeyCode::End => view.go(isize::MAX),
        _ => {}
    }
    true
}

fn failed(error: std::io::Error) -> Error {
    Error::unavailable("the terminal can't be used").detail(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn q_escape_and_control_c_leave_and_other_keys_do_not() {
        let (board, mut view) = (Board::default(), View::default());
        let mut obeys = |code, modifiers| obey(&mut view, &board, KeyEvent::new(code, modifiers));
        assert!(!obeys(KeyCode::Char('q'), KeyModifiers::NONE));
        assert!(!obeys(KeyCode::Esc, KeyModifiers::NONE));
        assert!(!obeys(KeyCode::Char('c'), KeyModifiers::CONTROL));
        for code in [KeyCode::Char('c'), KeyCode::Char('s'), KeyCode::Home, KeyCode::End, KeyCode::Up, KeyCode::F(5)] {
            assert!(obeys(code, KeyModifiers::NONE), "{code:?}");
        }
    }
}
