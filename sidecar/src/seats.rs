//! Seats on a port that everybody reaches: whoever holds one without asking gives it up to whoever comes.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::rc::Rc;

use tokio::task::AbortHandle;

/// At most so many connections, and so many of one address.
pub(crate) struct Seats {
    most: usize,
    of_one_address: usize,
    /// By number, so in the order in which they came.
    taken: RefCell<BTreeMap<u64, Taken>>,
    next: Cell<u64>,
}

struct Taken {
    address: IpAddr,
    has_asked: Rc<Cell<bool>>,
    task: Option<AbortHandle>,
}

/// A seat, free again when it is dropped.
pub(crate) struct Seat {
    seats: Rc<Seats>,
    number: u64,
    has_asked: Rc<Cell<bool>>,
}

impl Seats {
    /// All free.
    pub(crate) fn new(most: usize, of_one_address: usize) -> Self {
        Self { most, of_one_address, taken: RefCell::default(), next: Cell::new(0) }
    }

    /// Where an address has all of its seats, or all are taken, the longest silent one goes: of that address, or of all. None
    /// where nobody is silent.
    pub(crate) fn take(self: &Rc<Self>, address: IpAddr) -> Option<Seat> {
        let mut taken = self.taken.borrow_mut();
        let of_address = taken.values().filter(|seat| seat.address == address).count();
        let (from_own, is_full) = (of_address >= self.of_one_address, taken.len() >= self.most);
        if from_own || is_full {
            let may_go = |seat: &Taken| !seat.has_asked.get() && (!from_own || seat.address == address);
            let number = taken.iter().find(|(_, seat)| may_go(seat)).map(|(number, _)| *number)?;
            // The task drops its seat later, which is then free already.
            if let Some(task) = taken.remove(&number).and_then(|seat| seat.task) {
                task.abort();
            }
        }
        let (number, has_asked) = (self.next.get(), Rc::default());
        self.next.set(number.wrapping_add(1));
        taken.insert(number, Taken { address, has_asked: Rc::clone(&has_asked), task: None });
        Some(Seat { seats: Rc::clone(self), number, has_asked })
    }

    /// Which task serves a seat, and ends when it is given up.
    pub(crate) fn serves(&self, number: u64, task: AbortHandle) {
        if let Some(seat) = self.taken.borrow_mut().get_mut(&number) {
            seat.task = Some(task);
        }
    }
}

impl Seat {
    /// To be set as soon as a whole request has come.
    pub(crate) fn has_asked(&self) -> Rc<Cell<bool>> {
        Rc::clone(&self.has_asked)
    }

    /// Its number.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.seats.taken.borrow_mut().remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    #[test]
    fn the_longest_silent_one_gives_way_to_whoever_comes() {
        let seats = Rc::new(Seats::new(3, 2));
        let numbers = || seats.taken.borrow().keys().copied().collect::<Vec<_>>();
        let held: Vec<_> = [1, 1, 2].map(|last| seats.take(address(last)).unwrap()).into();
        assert_eq!(numbers(), [0, 1, 2]);
        let third = seats.take(address(1)).unwrap();
        assert_eq!(numbers(), [1, 2, 3], "of its own address");
        held[1].has_asked().set(true);
        let other = seats.take(address(3)).unwrap();
        assert_eq!(numbers(), [1, 3, 4], "whoever has asked stays");
        drop(held);
        assert_eq!(numbers(), [3, 4], "a seat is free when it is dropped, and not twice");
        third.has_asked().set(true);
        other.has_asked().set(true);
        let full = [seats.take(address(1)).unwrap()];
        full[0].has_asked().set(true);
        assert!(seats.take(address(4)).is_none(), "everybody has asked");
        assert!(seats.take(address(1)).is_none());
        drop(full);
        assert!(seats.take(address(4)).is_some());
    }
}
