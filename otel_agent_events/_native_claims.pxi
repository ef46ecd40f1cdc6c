# Hashes and what each is held by; `claims.py` has the same in Python.


cdef struct Claim:
    int64_t hashed  # 0 is an empty place
    int64_t holder


cdef class Claims:
    """Hashes and what each is held by, in a flat table of 16 bytes each."""

    cdef Claim *_table
    cdef size_t _mask, _room

    def __cinit__(self):
        self._table = NULL
        self._make_table(64)

    def __dealloc__(self):
        free(self._table)

    def add(self, int64_t hashed, int64_t holder):
        """Add a hash and its holder; give the holder instead when it is there already."""
        cdef Claim *place = self._place(hashed)
        if place.hashed:
            return place.holder
        self._fill(place, hashed, holder)
        return None

    def __sizeof__(self):
        """Give the bytes that the table takes."""
        return (self._mask + 1) * sizeof(Claim)

    def holder(self, int64_t hashed):
        """Give what a hash is held by."""
        cdef Claim *place = self._place(hashed)
        return place.holder if place.hashed else None

    def add_new(self, keys, holders):
        """Add the hashes of keys with their holders if none of them is there yet; else add nothing, and give False."""
        cdef list several = list(keys), held = list(holders)
        cdef Py_ssize_t number, count = len(several)
        cdef Claim *place
        cdef int64_t hashed, holder
        if len(held) != count:
            raise ValueError("each key has one holder")
        while self._room <= <size_t> count:
            self._make_table(2 * (self._mask + 1))
        for number in range(count):
            hashed, holder = hash(several[number]), held[number]
            place = self._place(hashed)
            if place.hashed:
                # What was added of these is taken out again, the latest first, so that the table is as it was.
                while number > 0:
                    number -= 1
                    self._place(hash(several[number])).hashed = 0
                    self._room += 1
                return False
            self._fill(place, hashed, holder)
        return True

    cdef Claim *_place(self, int64_t hashed) noexcept:
        """Find where a hash stands, or the empty place where it would."""
        cdef size_t at
        hashed = hashed or 1
        at = <size_t> hashed & self._mask
        while self._table[at].hashed and self._table[at].hashed != hashed:
            at = (at + 1) & self._mask
        return &self._table[at]

    cdef int _fill(self, Claim *place, int64_t hashed, int64_t holder) except -1:
        place.hashed = hashed or 1
        place.holder = holder
        self._room -= 1
        if not self._room:
            self._make_table(2 * (self._mask + 1))
        return 0

    cdef int _make_table(self, size_t places) except -1:
        """Make a larger table, of a power of two, and fill it."""
        cdef Claim *old = self._table
        cdef size_t before = self._mask + 1 if old != NULL else 0, at
        cdef Claim *table = <Claim *> calloc(places, sizeof(Claim))
        if table == NULL:
            raise MemoryError
        self._table = table
        self._mask = places - 1
        self._room = places * 3 // 5
        for at in range(before):
            if old[at].hashed:
                self._place(old[at].hashed)[0] = old[at]
                self._room -= 1
        free(old)
        return 0
