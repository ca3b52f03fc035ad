//! Where the next item goes: pages fill up one after the other, and one always stays free, so that
//! what still counts in a page can move before that is erased.

use embedded_storage::nor_flash::NorFlash;

use super::{
    Current, ENTRIES, Items, Nvs, NvsError, Place, Result,
    page::{FREEING, FULL, State, States},
};

/// A page is left alone while all others are begun so often.
const REST_ROUNDS: u32 = 2;

impl Nvs {
    /// Entries left in the current page.
    pub(super) fn room(&self) -> u8 {
        self.current.map_or(0, |current| ENTRIES - current.next)
    }

    /// Takes so many entries of the current page, which has them.
    pub(super) fn take(&mut self, entries: u8) -> Place {
        let Some(current) = &mut self.current else {
            unreachable!("asked for room before");
        };
        let place = Place {
            page: current.page,
            index: current.next,
        };
        current.next += entries;
        place
    }

    /// Refuses what cannot fit even if every entry that does not count is won back.
    pub(super) fn expect_room<F: NorFlash>(&self, flash: &mut F, needed: usize) -> Result<(), F> {
        let mut unused = self.free_pages().saturating_sub(1) * usize::from(ENTRIES);
        for page in self.held_pages() {
            let states = self.layout.states(flash, page).map_err(NvsError::Flash)?;
            unused += usize::from(ENTRIES - states.used());
        }
        if unused < needed {
            return Err(NvsError::Full);
        }
        Ok(())
    }

    /// Moves on to a page with at least so much room: a free one, or, with only one left, that one
    /// with the items of the page in which the most entries do not count.
    pub(super) fn next_page<F: NorFlash>(&mut self, flash: &mut F, room: u8) -> Result<(), F> {
        let free = self.free_pages();
        let victim = match free {
            0 => return Err(NvsError::Full),
            1 => Some(self.victim(flash, room)?),
            _ => None,
        };
        if let Some(current) = self.current.take() {
            self.layout
                .set_state(flash, current.page, FULL)
                .map_err(NvsError::Flash)?;
        }
        let Some(victim) = victim else {
            return self.begin_page(flash).map_err(NvsError::Flash);
        };
        self.layout
            .set_state(flash, victim, FREEING)
            .and_then(|()| self.free(flash, victim))
            .map_err(NvsError::Flash)
    }

    /// The page with the most entries that do not count, the oldest of several; now and then the
    /// oldest of all, so that a page of values that never change wears like the others.
    fn victim<F: NorFlash>(&self, flash: &mut F, room: u8) -> Result<u8, F> {
        let patience = REST_ROUNDS * u32::from(self.layout.pages);
        let mut best = None;
        for page in self.held_pages() {
            let states = self.layout.states(flash, page).map_err(NvsError::Flash)?;
            let header = self.layout.header(flash, page).map_err(NvsError::Flash)?;
            let (used, seq) = (states.used(), header.seq().unwrap_or(0));
            if ENTRIES - used < room {
                continue;
            }
            let has_rested = self.next_seq - seq > patience;
            let rank = (!has_rested, used, seq);
            if best.is_none_or(|(least, _)| rank < least) {
                best = Some((rank, page));
            }
        }
        best.map(|(_, page)| page).ok_or(NvsError::Full)
    }

    /// Moves the items of a page that is marked as freeing to a new one and erases it.
    pub(super) fn free<F: NorFlash>(
        &mut self,
        flash: &mut F,
        victim: u8,
    ) -> core::result::Result<(), F::Error> {
        self.begin_page(flash)?;
        let mut heads = States::empty();
        let mut states = States::empty();
        let mut items = Items::of(1 << victim);
        while let Some((from, entry)) = items.next(flash, self.layout)? {
            let to = self.take(entry.span());
            heads.set(to.index, State::Written);
            for number in 0..entry.span() {
                let index = from.index + number;
                let entry = self.layout.read(flash, Place { index, ..from })?;
                let index = to.index + number;
                self.layout.write(flash, Place { index, ..to }, &entry.0)?;
                states.set(index, State::Written);
            }
        }
        // Until the old page is gone, the new one does not count: the power may fail in here. Heads
        // go first, as always.
        self.layout.write_states(flash, self.newest, &heads)?;
        self.layout.write_states(flash, self.newest, &states)?;
        self.held &= !(1 << victim);
        self.layout.wipe(flash, victim)
    }

    /// Begins the free page that follows the last one begun, so that all wear alike.
    fn begin_page<F: NorFlash>(&mut self, flash: &mut F) -> core::result::Result<(), F::Error> {
        let pages = self.layout.pages;
        let is_free = |page: &u8| self.held & 1 << page == 0;
        let mut following = (1..=pages).map(|step| (self.newest + step) % pages);
        let Some(page) = following.find(is_free) else {
            unreachable!("one page is always free");
        };
        if !self.layout.is_blank(flash, page)? {
            self.layout.wipe(flash, page)?;
        }
        self.layout.begin(flash, page, self.next_seq)?;
        self.next_seq += 1;
        self.held |= 1 << page;
        self.newest = page;
        self.current = Some(Current { page, next: 0 });
        Ok(())
    }

    pub(super) fn free_pages(&self) -> usize {
        usize::from(self.layout.pages) - self.held.count_ones() as usize
    }

    pub(super) fn held_pages(&self) -> impl Iterator<Item = u8> + use<> {
        let held = self.held;
        (0..u32::BITS as u8).filter(move |page| held & 1 << page != 0)
    }
}
