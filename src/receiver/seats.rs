//! Who is connected, how many, and who has to go first where there are too many: the one that has been silent longest. So
//! no number of idle connections keeps mail out.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU8, AtomicU64, Ordering::Relaxed},
    },
};

use tokio::{sync::Notify, time::Instant};

/// How many may come in while others are still being told to leave.
const SPARE: usize = 32;
/// How long a mail on its way in is left alone however slow it is, and the octets that earn it another millisecond.
const HEAD_START: u64 = 10_000;
const OCTETS: u64 = 10;
/// `quiet_since` of one whose mail is being taken.
const BUSY: u64 = u64::MAX;

/// `why`, as an atomic holds it.
const CROWDED: u8 = 1;
const CLOSING: u8 = 2;

/// Why a connection has to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// Others need the place.
    Crowded,
    /// The receiver ends.
    Closing,
}

/// All that are connected.
#[derive(Debug)]
pub(super) struct Seats {
    most: usize,
    most_per_source: usize,
    begun: Instant,
    table: Mutex<Table>,
    emptied: Notify,
}

#[derive(Debug, Default)]
struct Table {
    seats: HashMap<u64, Arc<Seat>>,
    sources: HashMap<IpAddr, usize>,
    next: u64,
    closing: bool,
}

#[derive(Debug, Default)]
struct Seat {
    told: Notify,
    why: AtomicU8,
    /// In milliseconds since the receiver began; a mail on its way in counts from when it should be done.
    quiet_since: AtomicU64,
}

/// A place among the connections; free again when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    seats: Arc<Seats>,
    seat: Arc<Seat>,
    number: u64,
    source: Option<IpAddr>,
}

impl Seats {
    pub fn new(most: usize, most_per_source: usize) -> Self {
        Self { most, most_per_source, begun: Instant::now(), table: Mutex::default(), emptied: Notify::new() }
    }

    /// A place for one more; none where all have a mail on its way in.
    pub fn enter(self: &Arc<Self>) -> Option<Place> {
        let mut table = self.table();
        let crowded = table.seats.len() >= self.most;
        if table.closing || table.seats.len() >= self.most + SPARE || (crowded && !table.send_one_away(self.now())) {
            return None;
        }
        let seat = Arc::new(Seat::default());
        seat.quiet_since.store(self.now(), Relaxed);
        table.next += 1;
        let number = table.next;
        table.seats.insert(number, Arc::clone(&seat));
        Some(Place { seats: Arc::clone(self), seat, number, source: None })
    }

    /// Makes room by sending one away, where the system has none left.
    pub fn make_room(&self) {
        self.table().send_one_away(self.now());
    }

    /// Takes in nobody any more, and tells everybody to leave when they can.
    pub fn close(&self) {
        let mut table = self.table();
        table.closing = true;
        table.seats.values().for_each(|seat| seat.tell(Told::Closing));
    }

    /// Waits until all have left.
    pub async fn empty(&self) {
        loop {
            let emptied = self.emptied.notified();
            if self.table().seats.is_empty() {
                return;
            }
            emptied.await;
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(BUSY - 1)
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn send_one_away(&self, now: u64) -> bool {
        let slow = |seat: &Seat| seat.why.load(Relaxed) == 0 && seat.quiet_since.load(Relaxed) <= now;
        let idle = self.seats.iter().filter(|(_, seat)| slow(seat));
        let first = idle.min_by_key(|(number, seat)| (seat.quiet_since.load(Relaxed), **number));
        first.inspect(|(_, seat)| seat.tell(Told::Crowded)).is_some()
    }
}

impl Seat {
    fn tell(&self, told: Told) {
        self.why.store(if told == Told::Crowded { CROWDED } else { CLOSING }, Relaxed);
        self.told.notify_one();
    }
}

impl Place {
    /// Counts it for its source; false where that has too many.
    pub fn belongs_to(&mut self, source: IpAddr) -> bool {
        let source = network(source);
        let mut table = self.seats.table();
        let count = table.sources.entry(source).or_default();
        if *count >= self.seats.most_per_source {
            return false;
        }
        *count += 1;
        self.source = Some(source);
        true
    }

    /// From now on it waits for its client.
    pub fn is_quiet(&self) {
        self.seat.quiet_since.store(self.seats.now(), Relaxed);
    }

    /// A mail began to come in at `begun`, of which there are so many octets.
    pub fn receives(&self, begun: Instant, octets: u64) {
        let begun = u64::try_from(begun.duration_since(self.seats.begun).as_millis()).unwrap_or_default();
        self.seat.quiet_since.store(begun + HEAD_START + octets / OCTETS, Relaxed);
    }

    /// From now on its mail is being taken.
    pub fn is_busy(&self) {
        self.seat.quiet_since.store(BUSY, Relaxed);
    }

    /// Waits until it has to leave.
    pub async fn told(&self) -> Told {
        loop {
            match self.seat.why.load(Relaxed) {
                0 => self.seat.told.notified().await,
                CROWDED => return Told::Crowded,
                _ => return Told::Closing,
            }
        }
    }

    /// The same, of a mail on its way in: when the receiver ends it may still come.
    pub async fn crowded(&self) -> Told {
        while self.seat.why.load(Relaxed) != CROWDED {
            self.seat.told.notified().await;
        }
        Told::Crowded
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut table = self.seats.table();
        table.seats.remove(&self.number);
        if let Some(source) = self.source
            && let Some(count) = table.sources.get_mut(&source)
        {
            *count -= 1;
            if *count == 0 {
                table.sources.remove(&source);
            }
        }
        if table.seats.is_empty() {
            self.seats.emptied.notify_waiters();
        }
    }
}

/// What counts as one source.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !(u128::MAX >> 64)).into(),
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::FutureExt;

    use super::*;

    fn told(place: &Place) -> Option<Told> {
        place.told().now_or_never()
    }

    #[tokio::test(start_paused = true)]
    async fn the_one_that_was_silent_longest_makes_room_and_a_busy_one_never_does() {
        let seats = Arc::new(Seats::new(3, 9));
        let [first, second, third] = [(); 3].map(|()| seats.enter().unwrap());
        first.is_busy();
        tokio::time::advance(Duration::from_secs(1)).await;
        second.is_quiet();
        let fourth = seats.enter().unwrap();
        assert_eq!([&first, &second, &third, &fourth].map(told), [None, None, Some(Told::Crowded), None]);
        let _fifth = seats.enter().unwrap();
        assert_eq!(told(&second), Some(Told::Crowded));
        fourth.is_busy();
    }

    #[tokio::test(start_paused = true)]
    async fn a_mail_that_comes_in_too_slowly_makes_room_too_but_not_at_the_end() {
        let seats = Arc::new(Seats::new(2, 9));
        let [slow, fast] = [(); 2].map(|()| seats.enter().unwrap());
        slow.receives(Instant::now(), 0);
        fast.receives(Instant::now(), 100_000);
        assert!(seats.enter().is_none());
        tokio::time::advance(Duration::from_secs(11)).await;
        seats.close();
        assert_eq!((slow.crowded().now_or_never(), told(&slow)), (None, Some(Told::Closing)));
        let seats = Arc::new(Seats::new(2, 9));
        let [slow, fast] = [(); 2].map(|()| seats.enter().unwrap());
        slow.receives(Instant::now(), 0);
        fast.receives(Instant::now(), 100_000);
        tokio::time::advance(Duration::from_secs(11)).await;
        let _third = seats.enter().unwrap();
        assert_eq!([&slow, &fast].map(|place| place.crowded().now_or_never()), [Some(Told::Crowded), None]);
    }

    #[tokio::test]
    async fn where_all_are_busy_nobody_else_comes_in() {
        let seats = Arc::new(Seats::new(1, 9));
        let first = seats.enter().unwrap();
        first.is_busy();
        assert!(seats.enter().is_none());
        drop(first);
        assert!(seats.enter().is_some());
    }

    #[tokio::test]
    async fn a_source_has_so_many_and_a_network_of_ipv6_is_one() {
        let seats = Arc::new(Seats::new(99, 2));
        let enter = |source: &str| {
            let mut place = seats.enter().unwrap();
            place.belongs_to(source.parse().unwrap()).then_some(place)
        };
        let (one, _two) = (enter("2001:db8::1").unwrap(), enter("2001:db8::2").unwrap());
        assert!(enter("2001:db8::3").is_none());
        assert!(enter("2001:db8:0:1::3").is_some() && enter("192.0.2.1").is_some());
        drop(one);
        assert!(enter("2001:db8::3").is_some());
        assert_eq!(network("::ffff:192.0.2.1".parse().unwrap()).to_string(), "192.0.2.1");
    }

    #[tokio::test]
    async fn at_the_end_all_are_told_and_waited_for() {
        let seats = Arc::new(Seats::new(9, 9));
        let place = seats.enter().unwrap();
        seats.close();
        assert_eq!(told(&place), Some(Told::Closing));
        assert!(seats.enter().is_none() && seats.empty().now_or_never().is_none());
        drop(place);
        seats.empty().await;
    }
}
