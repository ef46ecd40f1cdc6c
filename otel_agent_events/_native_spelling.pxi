# JSON as it is written: its encoding, its spelling, its digest.

cdef Py_ssize_t _sequence(const uint8_t *text, Py_ssize_t left) noexcept nogil:
    """Give the bytes of the character that begins here, which is not ASCII; 0 when it is none in UTF-8."""
    cdef uint8_t first = text[0]
    if left >= 2 and 0xC2 <= first <= 0xDF:
        return 2 if text[1] & 0xC0 == 0x80 else 0
    if left >= 3 and 0xE0 <= first <= 0xEF:
        if text[1] & 0xC0 != 0x80 or text[2] & 0xC0 != 0x80:
            return 0
        if (first == 0xE0 and text[1] < 0xA0) or (first == 0xED and text[1] >= 0xA0):
            return 0
        return 3
    if left >= 4 and 0xF0 <= first <= 0xF4:
        if text[1] & 0xC0 != 0x80 or text[2] & 0xC0 != 0x80 or text[3] & 0xC0 != 0x80:
            return 0
        if (first == 0xF0 and text[1] < 0x90) or (first == 0xF4 and text[1] >= 0x90):
            return 0
        return 4
    return 0


cdef uint64_t _LOW_BITS = <uint64_t> 0x01010101 << 32 | 0x01010101  # of eight bytes
cdef uint64_t _HIGH_BITS = 0x80 * _LOW_BITS
cdef uint64_t _SPACES = 0x20 * _LOW_BITS
cdef uint64_t _QUOTES = 0x22 * _LOW_BITS
cdef uint64_t _BACKSLASHES = 0x5C * _LOW_BITS


cdef inline uint64_t _zeros(uint64_t eight) noexcept nogil:
    """Set a high bit where there may be a zero among eight bytes, and none where there is none."""
    return (eight - _LOW_BITS) & ~eight


cdef extern from *:
    """
    #if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
    #error "the first of eight bytes is taken for the lowest: elsewhere Python does the work"
    #endif
    #ifdef _MSC_VER
    #include <intrin.h>
    static Py_ssize_t first_bit(unsigned __int64 bits) { unsigned long at; _BitScanForward64(&at, bits); return at; }
    #else
    static inline Py_ssize_t first_bit(unsigned long long bits) { return __builtin_ctzll(bits); }
    #endif
    """
    Py_ssize_t first_bit(uint64_t bits) noexcept nogil


cdef inline Py_ssize_t _first_of(uint64_t marked) noexcept nogil:
    """Say which of eight bytes is the first whose high bit is set: the first in memory is the lowest."""
    return first_bit(marked) >> 3


def is_utf8(const uint8_t[::1] text not None):
    """Say whether it is text in UTF-8."""
    cdef Py_ssize_t at = 0, size = text.shape[0], length
    cdef const uint8_t *data = &text[0] if size else NULL
    cdef uint64_t eight
    with nogil:
        while at < size:
            if size - at >= 8:
                memcpy(&eight, data + at, 8)
                eight &= _HIGH_BITS
                if not eight:
                    at += 8
                    continue
                at += _first_of(eight)
            elif data[at] < 0x80:
                at += 1
                continue
            length = _sequence(data + at, size - at)
            if not length:
                break
            at += length
    return at == size


cdef enum:
    DEEPEST = 128  # levels of what has a digest

cdef uint64_t _FIRST = <uint64_t> 0xff51afd7 << 32 | 0xed558ccd
cdef uint64_t _SECOND = <uint64_t> 0xc4ceb9fe << 32 | 0x1a85ec53


cdef inline uint64_t _mixed(uint64_t number) noexcept nogil:
    """Let every bit have its say in all others."""
    number = (number ^ number >> 33) * _FIRST
    number = (number ^ number >> 33) * _SECOND
    return number ^ number >> 33


cdef uint64_t _digest_of_bytes(const uint8_t *text, Py_ssize_t size) noexcept nogil:
    cdef uint64_t digest = <uint64_t> size * _FIRST
    cdef uint64_t eight
    while size >= 8:
        memcpy(&eight, text, 8)
        digest = ((digest ^ eight) * _FIRST)
        digest ^= digest >> 29
        text += 8
        size -= 8
    if size:
        eight = 0
        memcpy(&eight, text, size)
        digest = (digest ^ eight) * _SECOND
    return _mixed(digest)

cdef bint _is_short_decimal(const uint8_t *at, const uint8_t *end) noexcept nogil:
    """Say whether it is a decimal that Python writes in just this way for certain: it has few digits, and no exponent."""
    cdef const uint8_t *begin
    cdef Py_ssize_t size
    if at[0] == c'-':
        at += 1
    begin = at
    while at < end and c'0' <= at[0] <= c'9':
        at += 1
    size = at - begin
    if not 1 <= size <= 9 or (begin[0] == c'0' and size > 1) or end - at < 2 or at[0] != c'.':
        return False
    begin = at + 1
    at = begin
    while at < end and c'0' <= at[0] <= c'9':
        at += 1
    # From five places on, small ones have an exponent.
    return at == end and end - begin <= 4 and (end[-1] != c'0' or end - begin == 1)


cdef int _look(const uint8_t *at, const uint8_t *end, Py_ssize_t deepest, uint64_t *told) except -1:
    """Say whether a JSON value is spelled as `attributes.json_bytes` spells it, and give a digest of it, in one pass.

    It is in UTF-8. What has more levels than `deepest`, or is no JSON, is not spelled so and has the digest 0. Values
    that are equal in our spelling have equal digests, whatever the order of members.
    """
    cdef const uint8_t *begin
    cdef uint64_t whole[DEEPEST]  # of each level that is open: of its members or items so far
    cdef uint64_t name[DEEPEST]
    cdef bint is_object[DEEPEST]
    cdef uint64_t eight, special, digest
    cdef Py_ssize_t level = 0, few
    cdef uint8_t each
    cdef bint ours = True, plain
    told[0] = 0
    whole[0] = name[0] = 0
    is_object[0] = False
    if deepest >= DEEPEST:
        raise ValueError("a digest has fewer levels")
    while at < end:
        each = at[0]
        begin = at
        at += 1
        if each == c',' or each == c':':
            continue
        if each == c'{' or each == c'[':
            level += 1
            if level > deepest:
                return False
            is_object[level] = each == c'{'
            whole[level] = name[level] = 0
            continue
        if each == c'"':
            # Most of it is letters: eight at a time, up to what is anything else. Which eight is decided by the text
            # alone, and never by what follows it.
            digest = _SECOND
            while True:
                if end - at >= 8:
                    memcpy(&eight, at, 8)
                    special = (_zeros(eight ^ _QUOTES) | _zeros(eight ^ _BACKSLASHES)) & _HIGH_BITS
                    if not special:
                        digest = (digest ^ eight) * _FIRST
                        digest ^= digest >> 29
                        at += 8
                        continue
                    few = _first_of(special)
                    eight &= (<uint64_t> 1 << 8 * few) - 1
                    at += few
                else:
                    eight = 0
                    few = 0
                    while at < end and at[0] != c'"' and at[0] != c'\\':
                        eight |= <uint64_t> at[0] << 8 * few
                        few += 1
                        at += 1
                digest = (digest ^ eight ^ <uint64_t> few << 56) * _SECOND
                digest ^= digest >> 29
                if end - at < 1:
                    return False
                if at[0] == c'"':
                    break
                if end - at < 2:
                    return False
                if at[1] == c'u' or at[1] == c'/':
                    ours = False
                digest = (digest ^ at[1]) * _FIRST
                at += 2
            at += 1
            digest = _mixed(digest)
            if at < end and at[0] == c':' and is_object[level]:
                name[level] = digest
                continue
        elif each == c'}' or each == c']':
            if not level:
                return False
            digest = _mixed(whole[level] + (1 if each == c'}' else 2))
            level -= 1
        elif each == c'-' or c'0' <= each <= c'9':
            plain = True
            while at < end and (c'0' <= at[0] <= c'9' or at[0] == c'.' or at[0] == c'e' or at[0] == c'E' or at[0] == c'+' or at[0] == c'-'):
                plain = plain and c'0' <= at[0] <= c'9'
                at += 1
            digest = _digest_of_bytes(begin, at - begin)
            if not plain or at - begin >= 4000 or (each == c'-' and at - begin > 1 and begin[1] == c'0'):
                if not _is_short_decimal(begin, at):
                    number = (<const char *> begin)[:at - begin]
                    ours = ours and repr(float(number)) == number.decode()
        elif c'a' <= each <= c'z':
            while at < end and c'a' <= at[0] <= c'z':
                at += 1
            digest = _digest_of_bytes(begin, at - begin)
        elif each == c' ' or each == c'\n' or each == c'\t' or each == c'\r':
            ours = False
            continue
        else:
            return False
        # Members count in any order, items in theirs.
        if is_object[level]:
            whole[level] += _mixed(name[level] * _SECOND ^ digest)
        else:
            whole[level] = _mixed(whole[level] * _FIRST + digest + 3)
    told[0] = whole[0]
    return ours


def look(bytes text not None, Py_ssize_t deepest):
    """Say whether valid JSON in UTF-8 is spelled as we spell it, and give a digest of it; see `_look`."""
    cdef uint64_t digest
    cdef const uint8_t *at = <const uint8_t *> PyBytes_AS_STRING(text)
    cdef bint ours = _look(at, at + PyBytes_GET_SIZE(text), deepest, &digest)
    return ours, digest
