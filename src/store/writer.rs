//! The thread of the writer: takes the queued jobs, writes them as one group, replies.
//!
//! Invariants: a reply is sent only after the commit is on disk; a job that fails does not affect
//! the other jobs of its group, unless SQLite rolled back all of them, and then all get an error.
//! Read-only jobs run after the writes that were queued with them, and do not fail with them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use crate::store::error::{ErrorContext as _, Recovery, StoreError};
use crate::store::sqlite::checkpointer::Checkpointer;
use crate::store::sqlite::clean_shutdown::{self, StartCheck};
use crate::store::sqlite::database::Database;
use crate::store::sqlite::lock::DatabaseLock;
use crate::store::sqlite::open::FileIdentity;
use crate::store::sqlite::time_limit::TimeClass;
use crate::store::write_health::WriteHealth;

/// What the writer has open. The fields are closed in this order.
#[derive(Debug)]
pub(super) struct OpenFiles {
    /// `None` leaves checkpoints to the commits.
    pub(super) checkpointer: Option<Checkpointer>,
    pub(super) database: Database,
    pub(super) file: FileIdentity,
    pub(super) lock: DatabaseLock,
}

/// The thread of the writer, to be joined at the end.
#[derive(Debug)]
pub struct Writer {
    thread: JoinHandle<()>,
    /// The result of the check when the database was opened.
    pub(crate) check: StartCheck,
    /// Whether a check that timed out was completed since.
    pub(crate) is_checked: Arc<AtomicBool>,
}

impl Writer {
    /// Starts the thread; it ends when the last sender of jobs is dropped, and releases the lock.
    pub(super) fn start(
        files: OpenFiles,
        boot_id: String,
        check: StartCheck,
        write_health: &WriteHealth,
    ) -> std::io::Result<(mpsc::Sender<Box<dyn Job>>, Self)> {
        let (jobs, waiting) = mpsc::channel(JOBS_WAITING_MAX);
        let write_health = write_health.clone();
        let is_checked = Arc::new(AtomicBool::new(check != StartCheck::TimedOut));
        let checked = Arc::clone(&is_checked);
        let thread = std::thread::Builder::new().name("store".to_owned()).spawn(move || {
            run(files, waiting, &boot_id, &write_health, &checked);
        })?;
        Ok((jobs, Self { thread, check, is_checked }))
    }

    /// Blocks until the last handle is dropped, the last write is on disk and the database is
    /// closed.
    pub fn join(self) {
        // A panic of the writer was reported to its callers as `Stopped`.
        drop(self.thread.join());
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Writes, or may write.
    Write,
    /// Removes old rows.
    Prune,
    /// Reads only.
    Read,
}

impl Kind {
    const fn time_class(self) -> TimeClass {
        match self {
            Self::Write | Self::Read => TimeClass::Normal,
            Self::Prune => TimeClass::Retention,
        }
    }
}

pub(super) trait Job: Send {
    fn kind(&self) -> Kind;
    /// Runs the job within the transaction of the group; `false` when it has to be rolled back.
    fn run(&mut self, connection: &Connection, boot_id: &str) -> bool;
    /// Whether the job failed permanently.
    fn failed_for_good(&self) -> bool;
    /// Replies after the commit.
    fn reply_committed(&mut self);
    /// Replies that the group was not written.
    fn reply_failed(&mut self, error: &StoreError);
}

struct JobWithReply<T, F> {
    doing: &'static str,
    kind: Kind,
    work: Option<F>,
    result: Option<Result<T, StoreError>>,
    reply: Option<oneshot::Sender<Result<T, StoreError>>>,
}

/// A job, and the receiver of its reply.
pub(super) fn job_with_reply<T, F>(
    doing: &'static str,
    kind: Kind,
    work: F,
) -> (Box<dyn Job>, oneshot::Receiver<Result<T, StoreError>>)
where
    T: Send + 'static,
    F: FnOnce(&Connection, &str) -> rusqlite::Result<T> + Send + 'static,
{
    let (reply, receiver) = oneshot::channel();
    let job = JobWithReply { doing, kind, work: Some(work), result: None, reply: Some(reply) };
    (Box::new(job), receiver)
}

impl<T, F> Job for JobWithReply<T, F>
where
    T: Send,
    F: FnOnce(&Connection, &str) -> rusqlite::Result<T> + Send,
{
    fn kind(&self) -> Kind {
        self.kind
    }

    fn run(&mut self, connection: &Connection, boot_id: &str) -> bool {
        let Some(work) = self.work.take() else { return true };
        let result = work(connection, boot_id).doing(self.doing);
        let succeeded = result.is_ok();
        self.result = Some(result);
        succeeded
    }

    fn failed_for_good(&self) -> bool {
        matches!(&self.result, Some(Err(failure)) if failure.next_step() == Recovery::Fail)
    }

    fn reply_committed(&mut self) {
        if let (Some(reply), Some(result)) = (self.reply.take(), self.result.take()) {
            // The caller may be gone.
            drop(reply.send(result));
        }
    }

    fn reply_failed(&mut self, error: &StoreError) {
        if let Some(reply) = self.reply.take() {
            let own = self.result.take().and_then(Result::err);
            drop(reply.send(Err(own.unwrap_or_else(|| error.shared(self.doing)))));
        }
    }
}

/// Runs the queued jobs, a group at a time, until the last sender is dropped.
fn run(
    mut files: OpenFiles,
    mut waiting: mpsc::Receiver<Box<dyn Job>>,
    boot_id: &str,
    write_health: &WriteHealth,
    is_checked: &AtomicBool,
) {
    let OpenFiles { checkpointer, database, file, lock } = &mut files;
    let mut group = Vec::with_capacity(GROUP_MAX);
    let mut ended_cleanly = true;
    // After a failed write, only a changed row proves that writing works again: a group that
    // changes none succeeds on a full disk as well. After a busy lock, getting the lock proves it.
    let mut needs_changed_row = false;
    while waiting.blocking_recv_many(&mut group, GROUP_MAX) > 0 {
        let mut reads: Vec<_> = group.extract_if(.., |job| job.kind() == Kind::Read).collect();
        let before = database.total_changes();
        let written = file.check().and_then(|()| write_group(database, &mut group, boot_id));
        ended_cleanly &= !group.iter().any(|job| job.failed_for_good());
        match written {
            Ok(()) => {
                let changed_row = database.total_changes() > before;
                if changed_row || (!group.is_empty() && !needs_changed_row) {
                    needs_changed_row = false;
                    write_health.record_success();
                    lock.record_write_failure(None);
                }
                group.iter_mut().for_each(|job| job.reply_committed());
                if let Some(checkpointer) = checkpointer.as_ref().filter(|_| changed_row) {
                    checkpointer.after_commit(database);
                }
            }
            Err(error) => {
                ended_cleanly &= error.next_step() == Recovery::Retry;
                write_health.record_failure(&error);
                lock.record_write_failure(Some(&error));
                needs_changed_row |=
                    !matches!(error, StoreError::Busy { .. } | StoreError::NoHandles { .. });
                group.iter_mut().for_each(|job| job.reply_failed(&error));
            }
        }
        group.clear();
        let read = file.check().and_then(|()| read_group(database, &mut reads, boot_id));
        ended_cleanly &= !reads.iter().any(|job| job.failed_for_good());
        match read {
            Ok(()) => reads.iter_mut().for_each(|job| job.reply_committed()),
            Err(error) => {
                ended_cleanly &= error.next_step() == Recovery::Retry;
                reads.iter_mut().for_each(|job| job.reply_failed(&error));
            }
        }
    }
    *checkpointer = None;
    if ended_cleanly && is_checked.load(Ordering::Relaxed) {
        // When this fails, the next start makes an unnecessary check.
        drop(clean_shutdown::set_ended_cleanly(database, true));
    }
    // Checkpoints the log, so that a copy of the file alone is complete. When this fails, the next
    // start does it.
    drop(database.execute("checkpointing the log", "PRAGMA wal_checkpoint(TRUNCATE)", ()));
}

fn write_group(
    database: &mut Database,
    group: &mut [Box<dyn Job>],
    boot_id: &str,
) -> Result<(), StoreError> {
    const DOING: &str = "writing a group";
    if group.is_empty() {
        return Ok(());
    }
    let class = group.iter().map(|job| job.kind().time_class()).max().unwrap_or(TimeClass::Normal);
    database.write_with(DOING, class, |transaction| {
        if let [only] = group {
            return match only.run(transaction, boot_id) {
                true => Ok(()),
                false => Err(StoreError::RolledBack(DOING)),
            };
        }
        group.iter_mut().try_for_each(|job| run_in_savepoint(transaction, job.as_mut(), boot_id))
    })
}

/// Runs the read-only jobs on one state of the database; each reports its own error.
fn read_group(
    database: &Database,
    group: &mut [Box<dyn Job>],
    boot_id: &str,
) -> Result<(), StoreError> {
    const DOING: &str = "reading for a group";
    if group.is_empty() {
        return Ok(());
    }
    database.read(DOING, TimeClass::Normal, |connection| {
        for job in group.iter_mut() {
            job.run(connection, boot_id);
        }
        Ok(())
    })
}

fn run_in_savepoint(
    transaction: &Connection,
    job: &mut dyn Job,
    boot_id: &str,
) -> Result<(), StoreError> {
    const DOING: &str = "writing a group";
    let execute = |sql: &str| {
        // Parsed once: a group has hundreds of jobs.
        transaction.prepare_cached(sql).and_then(|mut it| it.execute(())).map(drop).doing(DOING)
    };
    execute("SAVEPOINT job")?;
    let good = job.run(transaction, boot_id);
    if transaction.is_autocommit() {
        // SQLite rolled back the whole transaction, as it does when the disk is full.
        return Err(StoreError::RolledBack(DOING));
    }
    if !good {
        execute("ROLLBACK TO job")?;
    }
    execute("RELEASE job")
}

/// The most jobs in one commit.
const GROUP_MAX: usize = 256;
/// The most jobs in the queue; more wait in their callers.
const JOBS_WAITING_MAX: usize = 1024;

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::time::Duration;

    use super::*;
    use crate::store::sqlite::open::open_for_writing;
    use crate::store::sqlite::time_limit::TimeLimits;

    type Answer = oneshot::Receiver<Result<(), StoreError>>;

    /// A job with this work, and its reply.
    fn job(sql: &'static str) -> (Box<dyn Job>, Answer) {
        job_of(Kind::Write, sql)
    }

    fn job_of(kind: Kind, sql: &'static str) -> (Box<dyn Job>, Answer) {
        job_with_reply("testing", kind, |connection, _| connection.execute_batch(sql))
    }

    fn database() -> (tempfile::TempDir, PathBuf, Database) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        let (database, _) = open_for_writing(&path).unwrap();
        (folder, path, database)
    }

    struct Running {
        jobs: mpsc::Sender<Box<dyn Job>>,
        write_health: WriteHealth,
        thread: JoinHandle<()>,
    }

    impl Running {
        fn start(path: &std::path::Path, database: Database) -> Self {
            let file = FileIdentity::at(path).unwrap();
            let write_health = WriteHealth::default();
            let (jobs, waiting) = mpsc::channel(JOBS_WAITING_MAX);
            let (flag, lock) = (write_health.clone(), DatabaseLock::acquire(path).unwrap());
            let files = OpenFiles { checkpointer: None, database, file, lock };
            let thread = std::thread::spawn(move || {
                let is_true = AtomicBool::new(true);
                run(files, waiting, "boot", &flag, &is_true);
            });
            Self { jobs, write_health, thread }
        }

        fn send(&self, sql: &'static str) -> Answer {
            let (job, answer) = job(sql);
            self.jobs.blocking_send(job).unwrap();
            answer
        }

        fn ask(&self, sql: &'static str) -> Result<(), StoreError> {
            self.send(sql).blocking_recv().unwrap()
        }

        fn end(self) {
            drop(self.jobs);
            self.thread.join().unwrap();
        }
    }

    const ENDLESS: &str = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n)
                           INSERT INTO accounts SELECT x, x FROM n";

    #[test]
    fn a_failed_commit_is_a_permanent_error_of_the_whole_group() {
        for others in [0, 2] {
            let (_folder, _, mut database) = database();
            // Foreign keys are checked at the commit.
            let no_channel = "PRAGMA defer_foreign_keys = ON;
                              INSERT INTO recipients(channel_id, recipient) VALUES('x', '')";
            let valid = "INSERT INTO unrecognized VALUES(hex(randomblob(8)), 'ODD', 1)";
            let mut all = vec![job(no_channel)];
            all.extend((0..others).map(|_| job(valid)));
            let (mut group, answers): (Vec<_>, Vec<_>) = all.into_iter().unzip();
            let failure = write_group(&mut database, &mut group, "boot").unwrap_err();
            group.iter_mut().for_each(|job| job.reply_failed(&failure));
            for mut answer in answers {
                let failure = answer.try_recv().unwrap().unwrap_err();
                assert_eq!(failure.next_step(), Recovery::Fail, "{failure}");
                let cause = std::error::Error::source(&failure).unwrap().to_string();
                assert!(cause.contains("FOREIGN KEY"), "{cause}");
            }
        }
    }

    #[test]
    fn a_failed_job_does_not_fail_its_group() {
        let (_folder, _, mut database) = database();
        let [one, two] =
            ["INSERT INTO accounts VALUES('a', 1)", "INSERT INTO accounts VALUES('b', 2)"];
        let all = [one, one, two].map(job);
        let (mut group, answers): (Vec<_>, Vec<_>) = all.into_iter().unzip();
        write_group(&mut database, &mut group, "boot").unwrap();
        group.iter_mut().for_each(|job| job.reply_committed());
        let good = answers.into_iter().map(|mut answer| answer.try_recv().unwrap().is_ok());
        assert_eq!(good.collect::<Vec<_>>(), [true, false, true]);
        let sum = "SELECT sum(listed_at) FROM accounts";
        let sum: i64 = database.raw().query_row(sum, (), |row| row.get(0)).unwrap();
        assert_eq!(sum, 3);
    }

    #[test]
    fn a_read_does_not_fail_with_the_writes_of_its_group() {
        let (_folder, path, database) = database();
        let pages: i64 =
            database.raw().pragma_query_value(None, "page_count", |row| row.get(0)).unwrap();
        database.raw().pragma_update(None, "max_page_count", pages).unwrap();
        let (jobs, waiting) = mpsc::channel(2);
        let [mut written, mut read] = [
            job("INSERT INTO config(id, active) VALUES(1, hex(zeroblob(1000000)))"),
            job_of(Kind::Read, "SELECT active FROM config"),
        ]
        .map(|(job, answer)| {
            jobs.try_send(job).unwrap();
            answer
        });
        drop(jobs);
        let file = FileIdentity::at(&path).unwrap();
        let is_true = AtomicBool::new(true);
        let (lock, health) = (DatabaseLock::acquire(&path).unwrap(), WriteHealth::default());
        let files = OpenFiles { checkpointer: None, database, file, lock };
        run(files, waiting, "boot", &health, &is_true);
        let written = written.try_recv().unwrap();
        assert!(matches!(written, Err(StoreError::NoSpace { .. })), "{written:?}");
        read.try_recv().unwrap().unwrap();
    }

    #[test]
    fn writing_works_again_as_soon_as_a_busy_lock_is_released() {
        let (_folder, path, database) = database();
        database.raw().busy_timeout(Duration::ZERO).unwrap();
        let beside = Connection::open(&path).unwrap();
        let running = Running::start(&path, database);
        let ask = |sql| (running.ask(sql).is_ok(), running.write_health.failure().is_none());
        let nothing = "DELETE FROM accounts WHERE name = 'x'";
        assert_eq!(ask(nothing), (true, true));
        beside.execute_batch("BEGIN IMMEDIATE").unwrap();
        assert_eq!(ask(nothing), (false, false));
        beside.execute_batch("ROLLBACK").unwrap();
        assert_eq!(ask(nothing), (true, true));
        running.end();
    }

    #[test]
    fn a_job_over_its_time_limit_is_rolled_back_and_the_next_one_is_written() {
        let (_folder, path, mut database) = database();
        let normal = Duration::from_millis(100);
        database.set_limits(TimeLimits { normal, ..TimeLimits::default() }).unwrap();
        let running = Running::start(&path, database);
        let failure = running.ask(ENDLESS).unwrap_err();
        assert!(matches!(failure, StoreError::TooLong("testing")), "{failure}");
        assert_eq!(failure.next_step(), Recovery::Retry);
        assert!(running.write_health.failure().is_some(), "it is reported as not writing");
        running.ask("INSERT INTO accounts VALUES('a', 1)").unwrap();
        assert!(running.write_health.failure().is_none());
        running.end();
        let names = "SELECT group_concat(name) FROM accounts";
        let beside = Connection::open(&path).unwrap();
        let names: String = beside.query_row(names, (), |row| row.get(0)).unwrap();
        assert_eq!(names, "a");
    }

    #[test]
    fn after_a_stop_a_long_job_is_interrupted_and_queued_jobs_are_refused() {
        let (_folder, path, mut database) = database();
        let limits = TimeLimits { after_stop: Duration::from_millis(100), ..TimeLimits::default() };
        database.set_limits(limits).unwrap();
        let limit = database.limit.clone();
        let running = Running::start(&path, database);
        let first = running.send(ENDLESS);
        let mut others: Vec<Answer> =
            (0..JOBS_WAITING_MAX / 2).map(|_| running.send(ENDLESS)).collect();
        limit.stop();
        let failure = first.blocking_recv().unwrap().unwrap_err();
        assert!(matches!(failure, StoreError::TooLong { .. }), "{failure}");
        let last = others.pop().unwrap().blocking_recv().unwrap().unwrap_err();
        assert!(matches!(last, StoreError::Interrupted { .. }), "{last}");
        assert_eq!(last.next_step(), Recovery::Fail);
        assert!(others.into_iter().all(|answer| answer.blocking_recv().unwrap().is_err()));
        running.end();
    }
}
