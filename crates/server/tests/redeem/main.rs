//! The recipient's pages, tried as a browser without JavaScript uses them: links and forms, on a real SQLite
//! store and with a clock that stands still.

mod bed;
mod branded;
mod choice;
mod every_page;
mod forms;
mod refusals;
mod verification;
