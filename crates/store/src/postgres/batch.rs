//! Statements that go out together and cost one round trip.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;

use tokio_postgres::Statement;
use tokio_postgres::types::ToSql;

use super::error::Failure;
use super::operation::Connection;

/// A parameter of a statement.
pub(super) type Parameter<'a> = Box<dyn ToSql + Send + Sync + 'a>;

/// The parameters of a statement, boxed.
macro_rules! parameters {
    ($($value:expr),* $(,)?) => {
        vec![$(Box::new($value) as $crate::postgres::batch::Parameter<'_>),*]
    };
}
pub(super) use parameters;

/// Statements to be sent one behind the other, without waiting for answers in between.
pub(super) struct Batch<'a> {
    connection: &'a Connection,
    statements: Vec<(Statement, Vec<Parameter<'a>>)>,
}

impl<'a> Batch<'a> {
    /// None yet.
    pub(super) fn new(connection: &'a Connection) -> Self {
        Self { connection, statements: Vec::new() }
    }

    /// Adds a statement; only its first use on a connection waits, to be prepared.
    pub(super) async fn add(&mut self, sql: &str, parameters: Vec<Parameter<'a>>) -> Result<(), Failure> {
        self.statements.push((self.connection.prepare_cached(sql).await?, parameters));
        Ok(())
    }

    /// Sends all.
    pub(super) async fn send(self) -> Result<(), Failure> {
        self.send_with(None).await
    }

    /// Sends all and a COMMIT behind them. After a failure the COMMIT is a rollback, and the first
    /// failure is what is returned.
    pub(super) async fn commit(self) -> Result<(), Failure> {
        self.send_with(Some("COMMIT")).await
    }

    async fn send_with(self, last: Option<&'static str>) -> Result<(), Failure> {
        let connection = self.connection;
        type Answer<'f> = Pin<Box<dyn Future<Output = Result<(), tokio_postgres::Error>> + Send + 'f>>;
        let mut answers: Vec<Answer<'_>> = Vec::with_capacity(self.statements.len() + 1);
        for (statement, parameters) in &self.statements {
            let references: Vec<&(dyn ToSql + Sync)> =
                parameters.iter().map(|parameter| &**parameter as &(dyn ToSql + Sync)).collect();
            answers.push(Box::pin(async move { connection.execute(statement, &references).await.map(|_| ()) }));
        }
        if let Some(last) = last {
            answers.push(Box::pin(connection.batch_execute(last)));
        }
        in_order(answers).await?;
        Ok(())
    }
}

/// Polls all futures, first to last, until each is done: a statement is sent at the first poll, so they
/// are sent in order. The result is the first failure in that order.
async fn in_order<F: Future<Output = Result<(), E>> + Unpin, E>(mut futures: Vec<F>) -> Result<(), E> {
    let mut results: Vec<Option<Result<(), E>>> = futures.iter().map(|_| None).collect();
    poll_fn(|context| {
        let mut all_done = true;
        for (future, result) in futures.iter_mut().zip(&mut results) {
            if result.is_none() {
                match Pin::new(future).poll(context) {
                    Poll::Ready(done) => *result = Some(done),
                    Poll::Pending => all_done = false,
                }
            }
        }
        if all_done { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    results.into_iter().flatten().collect()
}
