# cython: language_level=3, boundscheck=False, wraparound=False, annotation_typing=False
"""Where in a run of JSON texts the patterns of `glance.py` are worth trying: one pass over all bytes leaves few places.

Nothing is found here. A place that is left out is one at which the pattern does not match; at all others it is tried.
So the same is found without this module, and a pattern that is changed has to be looked at here only if it takes in
more than before.

Each pattern begins near three bytes in a row that are rare, such as `key`, or `,"` and anything. Of each byte a number
says in which rows it may be the first, the second and the third, so that a few steps tell of all rows at once. What is
frequent all the same, as "the token expired" or a number, is then decided by what stands around it.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

# --- what bytes are -----------------------------------------------------------------------------------

cdef enum:  # of what a byte may be a part
    ALPHANUMERIC = 1
    DIGIT = 2
    HEXADECIMAL = 4  # in small letters
    NAME = 8
    SLUG = 16
    WORD = 32
    KEY = 64
    PARAMETER = 128
    NO_SIGN = 256  # after a name: no value follows
    NO_VALUE = 512  # after a name and a space

cdef uint16_t _is[256]


def _classify():
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
    for which, each in (
        (ALPHANUMERIC, letters),
        (DIGIT, "0123456789"),
        (HEXADECIMAL, "0123456789abcdef"),
        (NAME, letters + "_.-"),
        (SLUG, letters + "_-"),
        (WORD, letters + "_-+/"),
        (KEY, letters + "_-+/="),
        (PARAMETER, letters + "_-+/=%~"),
        (NO_SIGN, ",[{;?)(/+&#@$^~}|<"),
        (NO_VALUE, ",[{;?(&#@$^~|"),
    ):
        for byte in each.encode():
            _is[byte] |= which


_classify()

# --- rows of three ------------------------------------------------------------------------------------

cdef enum:  # rows; the frequent ones first
    ROW_CARD
    ROW_HYPHEN
    ROW_KEY
    ROW_PASS
    ROW_UTH
    ROW_CRE
    ROW_QUOTE
    ROW_UNDERSCORE
    ROW_PW
    ROW_KIE
    ROW_BASIC
    ROW_BEARER
    ROW_DAPI
    ROW_DOT
    ROW_EQUALS
    ROW_AKIA
    ROW_AA
    ROW_SK
    ROW_JWT
    ROW_KELVIN
    ROWS
    SECOND = 21  # bits, after which those of the second byte begin
    THIRD = 42

cdef enum:  # kinds of places, as `glance.py` has its patterns
    KIND_K
    KIND_P
    KIND_C
    KIND_UTH
    KIND_BEARER
    KIND_HYPHEN
    KIND_DOT
    KIND_EQUALS
    KIND_UNDERSCORE
    KIND_A
    KIND_SK
    KIND_JWT
    KIND_KELVIN
    KIND_CARD
    KIND_QUOTE
    KINDS

cdef uint64_t _rows[256]
# What the letter before the sign may be, by the one before that.
cdef uint32_t _before_hyphen[256]
cdef uint32_t _before_underscore[256]


def _line_up():
    digits, anything = "0123456789", "".join(map(chr, range(256)))
    hyphened = "sk pp at tt bt dt rt ey pi ai lx ly PX AK EY".split()
    hyphened += [f"x{letter}" for letter in "abcdefghijklmnopqrstuvwxyz"]
    underscored = "hp ho hu hs hr sk ve st pm hf r8 tn pi at ec wt ut qt v1 ca pa ss sa pt gd ys yu".split()
    for first, second in hyphened:
        _before_hyphen[ord(first)] |= 1 << (ord(second) & 31)
    for first, second in underscored:
        _before_underscore[ord(first)] |= 1 << (ord(second) & 31)
    for row, first, second, third in (
        (ROW_CARD, digits, digits, digits),
        (ROW_HYPHEN, "-", anything, anything),
        (ROW_KEY, "Kk", "Ee", "YyNn"),
        (ROW_KIE, "Kk", "IiSs.", "EeCc/\\"),
        (ROW_PASS, "Pp", "Aa", "Ss"),
        (ROW_PW, "PpCc", "WwVv", anything),
        (ROW_DAPI, "Dd", "Aa", "Pp"),
        (ROW_CRE, "Cc", "Rr", "Ee"),
        (ROW_BASIC, "Ss", "Ii", "Cc"),
        (ROW_UTH, "Uu", "Tt", "Hh"),
        (ROW_BEARER, "Bb", "Ee", "Aa"),
        (ROW_DOT, "S2v", "G9s", "."),
        (ROW_EQUALS, "ir", "ge", "="),
        (ROW_UNDERSCORE, *map("".join, zip(*underscored)), "_"),
        (ROW_AKIA, "A", "KSIT", "IzA"),
        (ROW_AA, ":", "A", "A"),
        (ROW_SK, "S", "K", "0123456789abcdef"),
        (ROW_JWT, "e", "y", "J"),
        (ROW_KELVIN, "\xe2", "\x84", "\xaa"),
        (ROW_QUOTE, ",[{", '"', anything),
    ):
        for shift, each in ((0, first), (SECOND, second), (THIRD, third)):
            for byte in set(each.encode("latin-1")):
                _rows[byte] |= <uint64_t> 1 << (<int> row + <int> shift)


_line_up()

# --- what stands around -------------------------------------------------------------------------------

# After the last byte Python has a zero, which is a part of nothing: what goes on from byte to byte ends there.


cdef inline bint _has(const uint8_t *at, Py_ssize_t most, uint16_t which) noexcept nogil:
    """Whether as many bytes are such."""
    while most and _is[at[0]] & which:
        at += 1
        most -= 1
    return not most


cdef inline bint _reads(const uint8_t *at, const char *letters) noexcept nogil:
    """Whether these letters stand here, small or not."""
    while letters[0] and at[0] | 0x20 == <uint8_t> letters[0]:
        at += 1
        letters += 1
    return not letters[0]


cdef bint _is_mentioned(const uint8_t *at) noexcept nogil:
    """Whether the name that goes on here is only mentioned, as far as that is easily seen: as `_MORE` has it."""
    cdef const uint8_t *begin = at
    cdef Py_ssize_t size
    cdef bint has_digit = False
    while at - begin < 80 and _is[at[0]] & NAME:
        at += 1
    if at[0] != c' ':
        if at[0] >= 0x80:
            return at[0] != 0xC4 and at[0] != 0xEF
        if at[0] == c'\\':
            return at[1] in b"nrbfu"
        if at[0] == c'"':
            return at[1] != c':'
        return _is[at[0]] & NO_SIGN != 0
    at += 1
    begin = at
    while _is[at[0]] & WORD:
        has_digit |= _is[at[0]] & DIGIT != 0
        at += 1
        if at - begin > 80:
            return False
    size = at - begin
    if not size:
        if at[0] == 0xE2:
            return at[1] != 0x80
        if at[0] >= 0x80:
            return at[0] != 0xC2 and at[0] != 0xC4 and at[0] != 0xEF
        return _is[at[0]] & NO_VALUE != 0
    if at[0] == c'=' or (has_digit and size > 15):
        return False
    if size <= 2:  # a quote may open after `rb`
        return at[0] not in b"\\\"'`" and not (size == 2 and (_reads(begin, "is") or _reads(begin, "to")))
    if size == 3:
        return not (_reads(begin, "was") or _reads(begin, "has") or _reads(begin, "set"))
    return not (_reads(begin, "changed") or _reads(begin, "reset") or _reads(begin, "updated"))


cdef bint _is_hyphened(const uint8_t *begin, const uint8_t *at, const uint8_t *end) noexcept nogil:
    """Whether a key may go on after this hyphen, or a flag or the arguments of `curl` may begin with it."""
    cdef const uint8_t *after = at + 1
    cdef uint8_t before = (at - 1)[0] if at > begin else 0
    cdef Py_ssize_t size = 0
    if after[0] == c'u' or (after[0] == c'-' and after[1] == c'u'):
        return True
    if end - at > 5 and after[0] == c'-' and at[5] == c'B':
        return True
    if end - at > 64 and at[64] | 0x20 in b"pstkac" and _has(after, 63, NAME):
        return True
    if at - begin >= 2 and _before_hyphen[(at - 2)[0]] >> (before & 31) & 1 and _has(after, 10, SLUG):
        return True
    if _is[before] & NAME and not (
        (before in b"bfnrt" and at - begin >= 2 and (at - 2)[0] == c'\\') or (at - begin >= 6 and (at - 6)[0] == c'\\')
    ):
        return False
    while size < 300 and _is[after[0]] & NAME:
        after += 1
        size += 1
    return size >= 2 and after[0] in b" ,\\'`"


cdef bint _is_card(const uint8_t *begin, const uint8_t *at) noexcept nogil:
    """Whether a number of enough digits may begin here, or a first group with a second one."""
    cdef Py_ssize_t size = 3
    if at > begin and _is[(at - 1)[0]] & DIGIT:
        return False
    while size < 13 and _is[at[size]] & DIGIT:
        size += 1
    if size == 13:
        return True
    return 4 <= size <= 10 and (at[size] == c' ' or at[size] == c'-') and _has(at + size + 1, 3, DIGIT)


cdef bint _is_key(const uint8_t *at, const uint8_t *end) noexcept nogil:
    """Whether the string that begins here is a key of more than one word, or a flag before another string."""
    cdef bint is_flag = at[0] == c'-'
    while _is[at[0]] & ALPHANUMERIC:
        at += 1
    if at[0] == c'"':
        return False
    while at < end and at[0] != c'"':
        at += 2 if at[0] == c'\\' else 1
    return at < end and (at[1] == c':' or (is_flag and at[1] in b",[{"))


# --- the pass -----------------------------------------------------------------------------------------


def sieve(bytes written not None):
    """Give for each kind where its pattern is to be tried, in order."""
    cdef const uint8_t *begin = <const uint8_t *> PyBytes_AS_STRING(written)
    cdef const uint8_t *end = begin + PyBytes_GET_SIZE(written)
    cdef const uint8_t *at = begin
    cdef list places = [[] for _ in range(KINDS)]
    cdef uint64_t first, second, third, fourth, fifth, rows, next_rows, last_rows
    if end - at < 2:
        return places
    first, second = _rows[at[0]], _rows[at[1]]
    while end - at >= 5:  # three at a time
        third, fourth, fifth = _rows[at[2]], _rows[at[3]], _rows[at[4]]
        rows = first & second >> SECOND & third >> THIRD
        next_rows = second & third >> SECOND & fourth >> THIRD
        last_rows = third & fourth >> SECOND & fifth >> THIRD
        if rows | next_rows | last_rows:
            _note(rows, begin, at, end, places)
            _note(next_rows, begin, at + 1, end, places)
            _note(last_rows, begin, at + 2, end, places)
        first, second = fourth, fifth
        at += 3
    while end - at >= 2:
        _note(_rows[at[0]] & _rows[at[1]] >> SECOND & _rows[at[2]] >> THIRD, begin, at, end, places)
        at += 1
    return places


cdef inline int _note(
    uint64_t rows, const uint8_t *begin, const uint8_t *at, const uint8_t *end, list places
) except -1:
    """Add the place to all kinds that may begin in these rows."""
    cdef int row = 0, kind, further
    while rows:
        if rows & 1:
            kind = _kind(row, begin, at, end, &further)
            if kind >= 0:
                (<list> places[kind]).append(at - begin + further)
        rows >>= 1
        row += 1
    return 0


cdef int _kind(
    int row, const uint8_t *begin, const uint8_t *at, const uint8_t *end, int *further
) noexcept nogil:
    """Say which pattern is to be tried for a row, and how much further on; -1 for none."""
    further[0] = 0
    if row == ROW_CARD:
        return KIND_CARD if _is_card(begin, at) else -1
    if row == ROW_HYPHEN:
        return KIND_HYPHEN if _is_hyphened(begin, at, end) else -1
    if row == ROW_KEY:
        if at[2] | 0x20 == c'n' and not (at - begin >= 2 and _reads(at - 2, "to")):
            return -1
        return -1 if _is_mentioned(at + 3) else KIND_K
    if row == ROW_PASS:
        return KIND_P if at[3] | 0x20 == c's' and not _is_mentioned(at + 4) else -1
    if row == ROW_UTH:
        return KIND_UTH if at > begin and (at - 1)[0] | 0x20 == c'a' and not _is_mentioned(at + 3) else -1
    if row == ROW_CRE:
        if at[3] | 0x20 == c't':
            return KIND_C if at - begin >= 2 and _reads(at - 2, "se") and not _is_mentioned(at + 4) else -1
        return KIND_C if at[3] | 0x20 == c'd' and not _is_mentioned(at + 4) else -1
    if row == ROW_QUOTE:
        return KIND_QUOTE if _is_key(at + 2, end) else -1
    if row == ROW_PW:
        return -1 if _is_mentioned(at + 2) else KIND_P if at[0] | 0x20 == c'p' else KIND_C
    if row == ROW_KIE:
        if at[1] | 0x20 != c'i':
            return KIND_K
        return KIND_K if at - begin >= 3 and _reads(at - 3, "coo") and not _is_mentioned(at + 3) else -1
    if row == ROW_BEARER:
        return KIND_BEARER if _reads(at + 3, "rer") else -1
    if row == ROW_AKIA:
        return KIND_A
    # In what is left the pattern begins later in the row.
    further[0] = 2
    if row == ROW_UNDERSCORE:
        return KIND_UNDERSCORE if _before_underscore[at[0]] >> (at[1] & 31) & 1 and _has(at + 3, 10, KEY) else -1
    if row == ROW_BASIC:
        return KIND_C if at - begin >= 2 and _reads(at - 2, "ba") and (at[3] == c' ' or at[3] == c'\\') else -1
    if row == ROW_DAPI:
        return KIND_P if at[3] | 0x20 == c'i' else -1
    if row == ROW_DOT:
        return KIND_DOT if _has(at + 3, 16, SLUG) else -1
    if row == ROW_EQUALS:
        return KIND_EQUALS if _has(at + 3, 16, PARAMETER) else -1
    if row == ROW_JWT:
        return KIND_JWT
    further[0] = 1
    if row == ROW_AA:
        return KIND_A
    if row == ROW_SK:
        return KIND_SK if _has(at + 2, 32, HEXADECIMAL) else -1
    return KIND_KELVIN


def lowered(bytes written not None):
    """Give the bytes as the patterns of names want them: see `_LOW`."""
    cdef Py_ssize_t size = PyBytes_GET_SIZE(written), at
    cdef bytes low = PyBytes_FromStringAndSize(NULL, size)
    cdef const uint8_t *source = <const uint8_t *> PyBytes_AS_STRING(written)
    cdef uint8_t *target = <uint8_t *> PyBytes_AS_STRING(low)
    cdef uint8_t each
    with nogil:
        for at in range(size):
            each = source[at]
            each = each + 32 if <uint8_t> (each - 65) < 26 else each
            each = 48 if <uint8_t> (each - 48) < 10 else each
            target[at] = 44 if each | 0x20 == 0x7b else each
    return low
