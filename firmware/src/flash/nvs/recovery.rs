//! What a power cut leaves behind, and how it is put right at the next start. Every step may be cut
//! short itself: each leaves either what was there or what the next start makes the same of.

use embedded_storage::nor_flash::NorFlash;

use super::{
    BLOB_CHUNK, BLOB_INDEX, Current, ENTRIES, Items, Layout, Nvs, NvsError, Place, Result,
    page::{Page, State},
};

pub(super) fn mount<F: NorFlash>(flash: &mut F, layout: Layout) -> Result<Nvs, F> {
    let mut nvs = Nvs {
        layout,
        held: 0,
        current: None,
        newest: layout.pages - 1,
        next_seq: 0,
        namespace: None,
        is_torn: false,
    };
    let mut freeing = 0;
    for page in 0..layout.pages {
        let header = layout.header(flash, page).map_err(NvsError::Flash)?;
        if header == Page::Newer {
            return Err(NvsError::NewerVersion);
        }
        let Some(seq) = header.seq() else {
            continue;
        };
        nvs.held |= 1 << page;
        if matches!(header, Page::Freeing { .. }) {
            freeing |= 1 << page;
        }
        if seq >= nvs.next_seq {
            nvs.next_seq = seq.saturating_add(1);
            nvs.newest = page;
            let is_active = matches!(header, Page::Active { .. });
            nvs.current = is_active.then_some(Current { page, next: 0 });
        }
    }
    nvs.recover(flash, freeing).map_err(NvsError::Flash)?;
    Ok(nvs)
}

impl Nvs {
    fn recover<F: NorFlash>(
        &mut self,
        flash: &mut F,
        freeing: u32,
    ) -> core::result::Result<(), F::Error> {
        // First: entries of an unfinished copy must go with their page, never one by one, where
        // bytes of a value would come to be marked as if they were an item.
        for victim in self.held_pages().filter(|page| freeing & 1 << page != 0) {
            self.repair(flash, victim)?;
            self.finish_freeing(flash, victim)?;
        }
        for page in self.held_pages() {
            self.repair(flash, page)?;
        }
        self.drop_broken_blobs(flash)?;
        self.drop_replaced(flash)
    }

    /// Erases items that are not whole, and finds where the current page goes on.
    fn repair<F: NorFlash>(
        &mut self,
        flash: &mut F,
        page: u8,
    ) -> core::result::Result<(), F::Error> {
        let layout = self.layout;
        let is_current = self.current.is_some_and(|current| current.page == page);
        let states = layout.states(flash, page)?;
        let mut index = 0;
        while index < ENTRIES {
            let place = Place { page, index };
            let mut span = 1;
            match states.get(index) {
                State::Erased => {}
                State::Torn => layout.erase_item(flash, place, 1)?,
                State::Empty => {
                    // Written, but not marked: it would be written over.
                    if is_current && !layout.read(flash, place)?.is_blank() {
                        layout.erase_item(flash, place, 1)?;
                    }
                }
                State::Written => {
                    let entry = layout.read(flash, place)?;
                    if !entry.is_item() || entry.span() > ENTRIES - index {
                        layout.erase_item(flash, place, 1)?;
                    } else {
                        span = entry.span();
                        let is_whole = states.all(index..index + span, State::Written);
                        // An erasure cut short can look like all of it was written.
                        let is_sound = is_whole
                            && (!is_current
                                || !entry.is_sized()
                                || layout.read_data(flash, place, &entry, &mut |_, _| {})?);
                        if !is_sound {
                            layout.erase_item(flash, place, span)?;
                        }
                    }
                }
            }
            index += span;
        }
        if is_current {
            self.find_room(flash, page)?;
        }
        Ok(())
    }

    /// The current page goes on behind the last entry in use; a gap before that is lost.
    fn find_room<F: NorFlash>(
        &mut self,
        flash: &mut F,
        page: u8,
    ) -> core::result::Result<(), F::Error> {
        let states = self.layout.states(flash, page)?;
        let last = (0..ENTRIES)
            .rev()
            .find(|index| states.get(*index) != State::Empty);
        let next = last.map_or(0, |last| last + 1);
        for index in 0..next {
            if states.get(index) == State::Empty {
                self.layout
                    .mark(flash, page, index..index + 1, State::Erased)?;
            }
        }
        self.current = Some(Current { page, next });
        Ok(())
    }

    /// A page whose items were being moved: they are all still in it, so what was copied already is
    /// erased and the move done again.
    fn finish_freeing<F: NorFlash>(
        &mut self,
        flash: &mut F,
        victim: u8,
    ) -> core::result::Result<(), F::Error> {
        let newest = self.newest;
        if newest != victim && self.is_copy(flash, newest, victim)? {
            self.held &= !(1 << newest);
            self.current = None;
            self.layout.wipe(flash, newest)?;
        } else if self.current.is_some() {
            // Not from a move as it is done here: both pages are needed.
            return Ok(());
        }
        if self.free_pages() == 0 {
            return Ok(());
        }
        self.free(flash, victim)
    }

    /// Whether every item of a page is in another one, too.
    fn is_copy<F: NorFlash>(
        &self,
        flash: &mut F,
        page: u8,
        of: u8,
    ) -> core::result::Result<bool, F::Error> {
        let mut items = Items::of(1 << page);
        while let Some((_, entry)) = items.next(flash, self.layout)? {
            let mut others = Items::of(1 << of);
            loop {
                match others.next(flash, self.layout)? {
                    Some((_, other)) if other == entry => break,
                    Some(_) => {}
                    None => return Ok(false),
                }
            }
        }
        Ok(true)
    }

    /// Erases indexes without all their chunks, and chunks without an index.
    fn drop_broken_blobs<F: NorFlash>(
        &mut self,
        flash: &mut F,
    ) -> core::result::Result<(), F::Error> {
        let mut items = Items::of(self.held);
        while let Some((place, index)) = items.next(flash, self.layout)? {
            if index.kind() != BLOB_INDEX {
                continue;
            }
            let mut size = Some(0);
            for number in 0..index.blob_chunks() {
                let chunk = self.find_chunk(flash, &index, number)?;
                size = size
                    .zip(chunk)
                    .map(|(size, (_, chunk))| size + chunk.size());
            }
            if size != Some(index.blob_bytes()) {
                self.layout.erase_item(flash, place, index.span())?;
            }
        }
        let mut items = Items::of(self.held);
        while let Some((place, chunk)) = items.next(flash, self.layout)? {
            if chunk.kind() != BLOB_CHUNK {
                continue;
            }
            let name = chunk.name();
            let index = self.find(flash, &mut |entry| {
                entry.has_chunk(chunk.chunk()) && entry.is_named(chunk.namespace(), &name)
            })?;
            if index.is_none() {
                self.layout.erase_item(flash, place, chunk.span())?;
            }
        }
        Ok(())
    }

    /// If the power failed between a value and the erasure of the one before it, then the last item
    /// of the newest page is that value.
    fn drop_replaced<F: NorFlash>(&mut self, flash: &mut F) -> core::result::Result<(), F::Error> {
        let mut items = Items::of(self.held & 1 << self.newest);
        let mut last = None;
        while let Some(item) = items.next(flash, self.layout)? {
            last = Some(item);
        }
        match last {
            Some((place, entry)) if entry.kind() != BLOB_CHUNK => self.erase_all_but(
                flash,
                entry.namespace(),
                &entry.name(),
                Some((place, entry)),
            ),
            _ => Ok(()),
        }
    }
}
