//! The table of exports: wanted, written, taken, and what to do when these differ.
//!
//! | server | shown | all shown are mounted | taken | verdict |
//! |---|---|---|---|---|
//! | runs | some | any | as wanted | Already |
//! | runs | some | any | otherwise, or unknown | write, Reload |
//! | runs | none | – | – | write, Stop |
//! | none | none | – | – | Already |
//! | none | some | no | – | Wait for those that are not |
//! | none | some | yes, but it has just died, again and again | – | Rest until it may be started |
//! | none | some | yes | – | write, Start |
//!
//! A running server takes a change at once; one that starts must know everything that its clients may have open, or
//! they are told that their files are gone. Changes of several volumes at the same moment share one round.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use uuid::Uuid;

use crate::{
    driver::{Code, Error},
    drivers::fault::Context,
    host::{Export, ExportTable, NfsServer, RunningServer},
};

/// A server that lived this long has not died again and again.
const HEALTHY: Duration = Duration::from_secs(60);
/// The longest rest before it is started again.
const LONGEST: u64 = 60;

/// What to do about the server.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing: it exports what is wanted.
    Already,
    /// Have it take the table.
    Reload,
    /// Nothing is exported any more.
    Stop,
    /// Start it.
    Start,
    /// These must be mounted first.
    Wait(Vec<String>),
    /// It died so often that it rests for so long.
    Rest(Duration),
}

/// All that the verdict is made of.
pub(super) struct View<'a> {
    pub(super) wanted: &'a ExportTable,
    pub(super) server: Option<&'a RunningServer>,
    /// Volumes that are mounted at their directories.
    pub(super) mounted: &'a dyn Fn(&Export) -> bool,
    /// How long it still has to rest.
    pub(super) rest: Option<Duration>,
}

pub(super) fn decide(view: &View<'_>) -> Verdict {
    let any = view.wanted.shown().next().is_some();
    match view.server {
        Some(_) if !any => return Verdict::Stop,
        Some(server) if is_taken(server, view.wanted) => return Verdict::Already,
        Some(_) => return Verdict::Reload,
        None if !any => return Verdict::Already,
        None => {}
    }
    let missing = view.wanted.shown().filter(|export| !(view.mounted)(export));
    let missing: Vec<String> = missing.map(Export::name).collect();
    match (missing.is_empty(), view.rest) {
        (false, _) => Verdict::Wait(missing),
        (true, Some(rest)) => Verdict::Rest(rest),
        (true, None) => Verdict::Start,
    }
}

/// Whether the server exports what is wanted; which number comes next is not its business.
fn is_taken(server: &RunningServer, wanted: &ExportTable) -> bool {
    server.taken.as_ref().is_some_and(|taken| {
        taken.port == wanted.port && taken.root == wanted.root && taken.shown().eq(wanted.shown())
    })
}

/// How often the server died young, and when it was started last. The first death costs no rest.
#[derive(Debug, Default)]
pub(super) struct Deaths {
    young: u32,
    started: Option<Instant>,
    /// It was seen running, and nobody has asked it to end.
    runs: bool,
}

impl Deaths {
    /// It is being started: the one before has died, when there was one.
    fn start(&mut self, now: Instant) {
        self.young = match self.started {
            Some(started) if now.duration_since(started) < HEALTHY => self.young.saturating_add(1),
            _ => 0,
        };
        (self.started, self.runs) = (Some(now), true);
    }

    /// It was ended on purpose.
    fn forget(&mut self) {
        *self = Self::default();
    }

    /// How long it still has to rest: 1 s after the second young death, doubling to a minute.
    fn rest(&self, now: Instant) -> Option<Duration> {
        let exponent = self.young.checked_sub(1)?;
        let seconds = 1_u64.checked_shl(exponent).unwrap_or(LONGEST).min(LONGEST);
        (self.started? + Duration::from_secs(seconds))
            .checked_duration_since(now)
            .filter(|left| !left.is_zero())
    }
}

/// The table of this node's exports, and the server that takes it. Clones share it.
#[derive(Clone)]
pub(super) struct Table {
    shared: Arc<Shared>,
}

struct Shared {
    server: Arc<dyn NfsServer>,
    root: PathBuf,
    first_port: u16,
    wanted: Mutex<Option<ExportTable>>,
    deaths: Mutex<Deaths>,
    /// Held while the table is written and the server told.
    turn: Mutex<()>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the server has come to.
pub(super) enum Settled {
    /// It exports what is wanted.
    Done,
    /// It cannot be started yet, and why.
    Later(String),
}

impl Table {
    /// The table whose directories are in `root`; a port is looked for from `first_port` on.
    pub(super) fn new(server: Arc<dyn NfsServer>, root: PathBuf, first_port: u16) -> Self {
        let (wanted, deaths, turn) = (Mutex::default(), Mutex::default(), Mutex::default());
        Self { shared: Arc::new(Shared { server, root, first_port, wanted, deaths, turn }) }
    }

    pub(super) fn server(&self) -> &dyn NfsServer {
        self.shared.server.as_ref()
    }

    /// The table as it is wanted; one on disk of an earlier life is where it begins.
    pub(super) fn wanted(&self, context: &Context) -> Result<ExportTable, Error> {
        self.with(context, |table| Ok(table.clone()))
    }

    /// Changes what is wanted. Blocks.
    pub(super) fn with<T>(
        &self,
        context: &Context,
        change: impl FnOnce(&mut ExportTable) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut wanted = lock(&self.shared.wanted);
        let table = match &mut *wanted {
            Some(table) => table,
            none => none.insert(self.load(context)?),
        };
        change(table)
    }

    fn load(&self, context: &Context) -> Result<ExportTable, Error> {
        let shared = &self.shared;
        let table = shared.server.table().map_err(|error| context.host(error))?;
        // The data directory may have been moved.
        let root = shared.root.clone();
        match table {
            Some(table) => Ok(ExportTable { root, ..table }),
            None => {
                let port = shared.server.free_port(shared.first_port).map_err(|error| context.host(error))?;
                Ok(ExportTable::new(port, root))
            }
        }
    }

    /// Makes what is wanted durable, whether the server runs or not. Blocks.
    pub(super) fn write(&self, context: &Context) -> Result<(), Error> {
        let _turn = lock(&self.shared.turn);
        self.write_now(context).map(drop)
    }

    fn write_now(&self, context: &Context) -> Result<ExportTable, Error> {
        let wanted = self.wanted(context)?;
        let server = &self.shared.server;
        // One that another version of Orlop wrote may hold the same table and say it otherwise.
        if !server.is_written(&wanted).map_err(|error| context.host(error))? {
            server.write_table(&wanted).map_err(|error| context.host(error))?;
        }
        Ok(wanted)
    }

    /// Has the server export what is wanted. Blocks; who waits for another's round finds it done.
    pub(super) fn settle(
        &self,
        context: &Context,
        mounted: &dyn Fn(&Export) -> bool,
    ) -> Result<Settled, Error> {
        let _turn = lock(&self.shared.turn);
        let server = self.server();
        let host = |error| context.host(error);
        let wanted = self.wanted(context)?;
        let running = server.server().map_err(host)?;
        let rest = lock(&self.shared.deaths).rest(Instant::now());
        let view = View { wanted: &wanted, server: running.as_ref(), mounted, rest };
        match decide(&view) {
            Verdict::Already => self.write_now(context).map(drop)?,
            Verdict::Reload => {
                self.write_now(context)?;
                server.reload().map_err(host)?;
            }
            Verdict::Stop => {
                self.write_now(context)?;
                self.stop_now(context)?;
            }
            Verdict::Start => {
                self.write_now(context)?;
                server.installed().map_err(host)?;
                lock(&self.shared.deaths).start(Instant::now());
                server.start().map_err(host)?;
                tracing::info!(port = wanted.port, "NFS server started");
            }
            Verdict::Wait(missing) => {
                let why = format!("the NFS server starts when {} can be mounted as well", missing.join(", "));
                return Ok(Settled::Later(why));
            }
            Verdict::Rest(rest) => {
                let why =
                    format!("the NFS server died again and again; it is started once more in {rest:.0?}");
                return Ok(Settled::Later(why));
            }
        }
        Ok(Settled::Done)
    }

    /// Ends the server; what it exported is kept in the table. Blocks.
    pub(super) fn stop(&self, context: &Context) -> Result<(), Error> {
        let _turn = lock(&self.shared.turn);
        self.stop_now(context)
    }

    fn stop_now(&self, context: &Context) -> Result<(), Error> {
        self.server().stop().map_err(|error| context.host(error))?;
        lock(&self.shared.deaths).forget();
        tracing::info!("NFS server stopped");
        Ok(())
    }

    /// Whether the server ran when it was looked at last, and runs no more. Answers so until it is started again. Blocks.
    pub(super) fn has_died(&self, context: &Context) -> Result<bool, Error> {
        let _turn = lock(&self.shared.turn);
        let runs = self.server().server().map_err(|error| context.host(error))?.is_some();
        let mut deaths = lock(&self.shared.deaths);
        deaths.runs |= runs;
        Ok(deaths.runs && !runs)
    }

    /// Whether the server is known to export this volume as it is wanted.
    pub(super) fn exports(&self, context: &Context, volume: Uuid) -> Result<bool, Error> {
        let server = self.server().server().map_err(|error| context.host(error))?;
        let wanted = self.wanted(context)?;
        let taken = server.and_then(|server| server.taken);
        let taken = taken.as_ref().and_then(|table| table.of(volume));
        Ok(taken.is_some_and(|export| export.shown) && taken == wanted.of(volume))
    }
}

/// A number for a volume of a pool, or words.
pub(super) fn number(
    context: &Context,
    table: &mut ExportTable,
    volume: Uuid,
    pool: Option<&str>,
) -> Result<u16, Error> {
    table.add(volume, pool).ok_or_else(|| {
        let why = "this node exports 65535 volumes, and has no number for another; delete some";
        context.fail(Code::ResourceExhausted, why)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::Process;

    const ONE: Uuid = Uuid::from_u128(1);
    const TWO: Uuid = Uuid::from_u128(2);

    fn table(shown: &[Uuid]) -> ExportTable {
        let mut table = ExportTable::new(20_000, "/exports".into());
        for volume in [ONE, TWO] {
            table.add(volume, None);
            table.of_mut(volume).unwrap().shown = shown.contains(&volume);
        }
        table
    }

    fn verdict(
        shown: &[Uuid],
        runs: Option<Option<ExportTable>>,
        mounted: &[Uuid],
        rest: Option<u64>,
    ) -> Verdict {
        let process = Process { pid: 5, started: 6 };
        let server = runs.map(|taken| RunningServer { process, taken });
        let (wanted, rest) = (table(shown), rest.map(Duration::from_secs));
        let mounted = |export: &Export| mounted.contains(&export.volume);
        decide(&View { wanted: &wanted, server: server.as_ref(), mounted: &mounted, rest })
    }

    /// The rows of the module's table.
    #[test]
    fn verdicts() {
        let both = &[ONE, TWO][..];
        assert_eq!(verdict(both, Some(Some(table(both))), &[], None), Verdict::Already);
        assert_eq!(verdict(both, Some(Some(table(&[ONE]))), both, None), Verdict::Reload);
        assert_eq!(verdict(both, Some(None), both, None), Verdict::Reload);
        assert_eq!(verdict(&[], Some(Some(table(both))), both, None), Verdict::Stop);
        assert_eq!(verdict(&[], None, &[], None), Verdict::Already);
        let missing = vec![table(both).of(TWO).unwrap().name()];
        assert_eq!(verdict(both, None, &[ONE], None), Verdict::Wait(missing));
        assert_eq!(verdict(both, None, both, Some(3)), Verdict::Rest(Duration::from_secs(3)));
        assert_eq!(verdict(&[ONE], None, &[ONE], None), Verdict::Start);
    }

    #[test]
    fn a_server_that_has_other_clients_or_another_number_to_give_next() {
        let mut taken = table(&[ONE]);
        taken.next = 77;
        assert_eq!(verdict(&[ONE], Some(Some(taken.clone())), &[], None), Verdict::Already);
        taken.of_mut(ONE).unwrap().clients.insert("10.0.0.9".parse().unwrap());
        assert_eq!(verdict(&[ONE], Some(Some(taken)), &[], None), Verdict::Reload);
    }

    #[test]
    fn young_deaths_cost_a_rest_and_a_healthy_life_is_forgiven() {
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        let mut deaths = Deaths::default();
        deaths.start(at(0));
        assert_eq!(deaths.rest(at(0)), None, "the first is started again at once");
        let mut now = 0;
        for seconds in [1, 2, 4, 8, 16, 32, 60, 60] {
            deaths.start(at(now));
            assert_eq!(deaths.rest(at(now)), Some(Duration::from_secs(seconds)));
            now += seconds.min(59);
            assert_eq!(deaths.rest(at(now)).is_none(), seconds < 60);
        }
        deaths.start(at(now + 60));
        assert_eq!(deaths.rest(at(now + 60)), None);
    }
}
