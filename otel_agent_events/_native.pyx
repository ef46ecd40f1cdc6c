# cython: language_level=3, boundscheck=False, wraparound=False, annotation_typing=False
"""What takes most of the time of a replay, as a C compiler has it. `otlp/composing.py` and `spelling.py` do the same.

Nothing here knows a platform or a convention: what stands in a span is told by the plan that is handed in.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_AsUTF8AndSize
from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memcpy

cdef extern from "structmember.h":
    ctypedef struct PyObject:
        pass
    ctypedef struct PyMemberDef:
        int type
        Py_ssize_t offset
    ctypedef struct PyMemberDescrObject:
        PyMemberDef *d_member
    int T_OBJECT_EX


# --- spelling -----------------------------------------------------------------------------------------


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
cdef uint64_t _QUOTES = 0x22 * _LOW_BITS
cdef uint64_t _BACKSLASHES = 0x5C * _LOW_BITS


cdef inline uint64_t _zeros(uint64_t eight) noexcept nogil:
    """Set a high bit where there may be a zero among eight bytes, and none where there is none."""
    return (eight - _LOW_BITS) & ~eight


def is_utf8(const uint8_t[::1] text not None):
    """Say whether it is text in UTF-8."""
    cdef Py_ssize_t at = 0, size = text.shape[0], length
    cdef const uint8_t *data = &text[0] if size else NULL
    cdef uint64_t eight
    with nogil:
        while at < size:
            if size - at >= 8:
                memcpy(&eight, data + at, 8)
                if not eight & _HIGH_BITS:
                    at += 8
                    continue
            if data[at] < 0x80:
                at += 1
                continue
            length = _sequence(data + at, size - at)
            if not length:
                break
            at += length
    return at == size


def are_ours(texts, Py_ssize_t deepest):
    """Say whether valid JSON texts are spelled as `attributes.json_bytes` spells them, in valid UTF-8.

    One that has more levels than `deepest` is not.
    """
    for text in texts:
        if not isinstance(text, bytes):
            raise TypeError("JSON texts are bytes")
        if not _is_ours(text, deepest):
            return False
    return True


cdef bint _is_ours(bytes text, Py_ssize_t deepest) except -1:
    cdef const uint8_t *at = <const uint8_t *> PyBytes_AS_STRING(text)
    cdef const uint8_t *end = at + PyBytes_GET_SIZE(text)
    cdef const uint8_t *begin
    cdef Py_ssize_t size, level = 0
    cdef uint64_t eight
    cdef uint8_t each
    cdef bint plain
    while at < end:
        each = at[0]
        if each == c'{' or each == c'[':
            level += 1
            if level > deepest:
                return False
            at += 1
        elif each == c'}' or each == c']':
            level -= 1
            at += 1
        elif each == c'"':
            at += 1
            while at < end and at[0] != c'"':
                # Most of it is letters: eight at a time, as long as none of them is anything else.
                while end - at >= 8:
                    memcpy(&eight, at, 8)
                    if (
                        eight | _zeros(eight ^ _QUOTES) | _zeros(eight ^ _BACKSLASHES)
                    ) & _HIGH_BITS:
                        break
                    at += 8
                each = at[0] if at < end else c'"'
                if each == c'"':
                    break
                if each == c'\\':
                    if end - at < 2 or at[1] == c'u' or at[1] == c'/':
                        return False
                    at += 2
                elif each < 0x80:
                    at += 1
                else:
                    size = _sequence(at, end - at)
                    if not size:
                        return False
                    at += size
            at += 1
        elif each == c'-' or c'0' <= each <= c'9':
            begin = at
            plain = True
            at += 1
            while at < end and (c'0' <= at[0] <= c'9' or at[0] == c'.' or at[0] == c'e' or at[0] == c'E' or at[0] == c'+' or at[0] == c'-'):
                plain = plain and c'0' <= at[0] <= c'9'
                at += 1
            size = at - begin
            if plain and size < 4000 and not (begin[0] == c'-' and begin[1] == c'0'):
                continue
            number = (<const char *> begin)[:size]
            if repr(float(number)) != number.decode():
                return False
        elif each == c' ' or each == c'\n' or each == c'\t' or each == c'\r' or each >= 0x80:
            return False
        else:
            at += 1
    return True


# --- digests ------------------------------------------------------------------------------------------

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


def digests(texts):
    """Give for each JSON value a number that is equal for equal values, whatever the order of members.

    They are in our own spelling, and have at most as many levels as a record may have.
    """
    return [_digest(text) for text in texts]


cdef int64_t _digest(bytes text) except? -1:
    cdef const uint8_t *at = <const uint8_t *> PyBytes_AS_STRING(text)
    cdef const uint8_t *end = at + PyBytes_GET_SIZE(text)
    cdef const uint8_t *begin
    cdef uint64_t whole[DEEPEST]  # of each level that is open: of its members or items so far
    cdef uint64_t name[DEEPEST]
    cdef bint is_object[DEEPEST]
    cdef uint64_t eight, digest = 0
    cdef int level = 0
    cdef uint8_t each
    whole[0] = name[0] = 0
    is_object[0] = False
    while at < end:
        each = at[0]
        begin = at
        at += 1
        if each == c',' or each == c':':
            continue
        if each == c'{' or each == c'[':
            level += 1
            if level >= DEEPEST:
                raise ValueError("it is nested too deeply")
            is_object[level] = each == c'{'
            whole[level] = name[level] = 0
            continue
        if each == c'}' or each == c']':
            digest = _mixed(whole[level] + (1 if each == c'}' else 2))
            level -= 1
            if level < 0:
                raise ValueError("it is no JSON")
        elif each == c'"':
            while at < end and at[0] != c'"':
                while end - at >= 8:
                    memcpy(&eight, at, 8)
                    if (_zeros(eight ^ _QUOTES) | _zeros(eight ^ _BACKSLASHES)) & _HIGH_BITS:
                        break
                    at += 8
                if at < end and at[0] != c'"':
                    at += 2 if at[0] == c'\\' else 1
            if at > end:
                raise ValueError("it is no JSON")
            digest = _digest_of_bytes(begin, at - begin)
            at += 1
            if at < end and at[0] == c':' and is_object[level]:
                name[level] = digest
                continue
        else:
            while at < end and at[0] != c',' and at[0] != c'}' and at[0] != c']':
                at += 1
            digest = _digest_of_bytes(begin, at - begin)
        # Members count in any order, items in theirs.
        if is_object[level]:
            whole[level] += _mixed(name[level] * _SECOND ^ digest)
        else:
            whole[level] = _mixed(whole[level] * _FIRST + digest + 3)
    return <int64_t> whole[0]


# --- times --------------------------------------------------------------------------------------------


cdef int64_t _LAST_MINUTE = 18446744040  # in seconds since 1970: not all of it can be told as nanoseconds in 64 bits


def parse_usual(str written not None):
    """Read `2024-01-15T10:35:00.123456Z` as nanoseconds since 1970; None for what is written in another form."""
    cdef Py_ssize_t size, at
    cdef const char *text = PyUnicode_AsUTF8AndSize(written, &size)
    cdef int64_t year, month, day, hour, minute, second, days, last
    cdef uint64_t fraction = 0, unit = 1000000000
    if size < 20 or size > 30 or text[size - 1] != c'Z' or text[4] != c'-' or text[7] != c'-' or text[10] != c'T':
        return None
    if text[13] != c':' or text[16] != c':':
        return None
    year, month, day = 100 * _two(text) + _two(text + 2), _two(text + 5), _two(text + 8)
    hour, minute, second = _two(text + 11), _two(text + 14), _two(text + 17)
    # What is no two digits is below all of these by far.
    if not (1970 <= year <= 2554 and 1 <= month <= 12 and 0 <= hour <= 23 and 0 <= minute <= 59 and 0 <= second <= 59):
        return None
    if month == 2:
        last = 29 if year % 4 == 0 and (year % 100 != 0 or year % 400 == 0) else 28
    else:
        last = 30 if month == 4 or month == 6 or month == 9 or month == 11 else 31
    if not 1 <= day <= last:
        return None
    if size > 20:
        if text[19] != c'.' or size == 21:
            return None
        for at in range(20, size - 1):
            if not c'0' <= text[at] <= c'9':
                return None
            unit //= 10
            fraction += unit * (text[at] - c'0')
    # Days since 1970: years begin in March, so that the day that is not always there comes last.
    year -= month <= 2
    days = 365 * year + year // 4 - year // 100 + year // 400 + (153 * (month + (9 if month <= 2 else -3)) + 2) // 5
    days += day - 1 - 719468
    second += 86400 * days + 3600 * hour + 60 * minute
    if second >= _LAST_MINUTE:
        return None
    return <uint64_t> second * <uint64_t> 1000000000 + fraction


cdef inline int64_t _two(const char *text) noexcept nogil:
    """Read two digits; far below zero when they are none."""
    cdef uint8_t first = text[0] - c'0', second = text[1] - c'0'
    return 10 * first + second if first <= 9 and second <= 9 else -1000000


# --- writing ------------------------------------------------------------------------------------------


cdef enum:
    ABSENT, SAME, POINT, CONSTANT, TEXT, NAME, REPEATED, NUMBER, WORDS, PART, VALUE, RAW, SUMMARY, END, FAILED_END

KINDS = {
    "absent": ABSENT, "same": SAME, "point": POINT, "constant": CONSTANT, "text": TEXT, "name": NAME, "repeated": REPEATED,
    "number": NUMBER, "words": WORDS, "part": PART, "value": VALUE, "raw": RAW, "summary": SUMMARY, "end": END,
    "failed_end": FAILED_END,
}

cdef enum:
    LINE = 80  # characters of a summary
    DESCRIPTION = 200  # and of the description of a status
    MOST_OF_WORDS = 800
    HALF = 38


cdef struct Buffer:
    uint8_t *data
    Py_ssize_t size
    Py_ssize_t room


cdef struct Line:
    uint8_t text[4 * LINE + 16]
    Py_ssize_t size
    Py_ssize_t characters


cdef int _reserve(Buffer *buffer, Py_ssize_t more) except -1:
    cdef Py_ssize_t room
    cdef uint8_t *data
    if buffer.size + more > buffer.room:
        room = 2 * (buffer.size + more)
        data = <uint8_t *> realloc(buffer.data, room)
        if data == NULL:
            raise MemoryError
        buffer.data = data
        buffer.room = room
    return 0


cdef inline int _put(Buffer *buffer, const void *data, Py_ssize_t size) except -1:
    _reserve(buffer, size)
    memcpy(buffer.data + buffer.size, data, size)
    buffer.size += size
    return 0


cdef inline int _put_bytes(Buffer *buffer, bytes data) except -1:
    return _put(buffer, PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))


cdef inline Py_ssize_t _size_of(uint64_t number) noexcept nogil:
    cdef Py_ssize_t size = 1
    while number > 0x7F:
        number >>= 7
        size += 1
    return size


cdef inline Py_ssize_t _varint(uint8_t *data, uint64_t number) noexcept nogil:
    """Write an integer, seven bits a byte; give how many bytes it took: ten at most."""
    cdef Py_ssize_t size = 0
    while number > 0x7F:
        data[size] = <uint8_t> (number & 0x7F | 0x80)
        number >>= 7
        size += 1
    data[size] = <uint8_t> number
    return size + 1


cdef int _put_text(Buffer *buffer, bytes name, const void *first, Py_ssize_t first_size,
                   const void *second, Py_ssize_t second_size, const void *third, Py_ssize_t third_size) except -1:
    """Write an attribute whose text is three pieces, one after the other."""
    cdef Py_ssize_t size = first_size + second_size + third_size
    cdef Py_ssize_t name_size = PyBytes_GET_SIZE(name)
    cdef Py_ssize_t inner = 1 + _size_of(size) + size
    cdef Py_ssize_t key = 1 + _size_of(name_size) + name_size if name_size else 0
    cdef Py_ssize_t whole = key + 1 + _size_of(inner) + inner
    _reserve(buffer, whole + 20)
    cdef uint8_t *at = buffer.data + buffer.size
    at[0] = 0x4A
    at += 1 + _varint(at + 1, whole)
    if name_size:
        at[0] = 0x0A
        at += 1 + _varint(at + 1, name_size)
        memcpy(at, PyBytes_AS_STRING(name), name_size)
        at += name_size
    at[0] = 0x12
    at += 1 + _varint(at + 1, inner)
    at[0] = 0x0A
    at += 1 + _varint(at + 1, size)
    memcpy(at, first, first_size)
    at += first_size
    memcpy(at, second, second_size)
    at += second_size
    memcpy(at, third, third_size)
    at += third_size
    buffer.size = at - buffer.data
    return 0


cdef int _put_number(Buffer *buffer, bytes name, uint64_t number) except -1:
    cdef Py_ssize_t name_size = PyBytes_GET_SIZE(name)
    cdef Py_ssize_t inner = 1 + _size_of(number)
    cdef Py_ssize_t whole = 1 + _size_of(name_size) + name_size + 1 + _size_of(inner) + inner
    _reserve(buffer, whole + 20)
    cdef uint8_t *at = buffer.data + buffer.size
    at[0] = 0x4A
    at += 1 + _varint(at + 1, whole)
    at[0] = 0x0A
    at += 1 + _varint(at + 1, name_size)
    memcpy(at, PyBytes_AS_STRING(name), name_size)
    at += name_size
    at[0] = 0x12
    at += 1 + _varint(at + 1, inner)
    at[0] = 0x18
    at += 1 + _varint(at + 1, number)
    buffer.size = at - buffer.data
    return 0


cdef int _put_status(Buffer *buffer, bytes content, Py_ssize_t size) except -1:
    """Write a status of an error that says so many bytes of a content."""
    cdef Py_ssize_t message = 1 + _size_of(size) + size if size else 0
    cdef uint8_t *at
    _reserve(buffer, message + 20)
    at = buffer.data + buffer.size
    at[0] = 0x7A
    at += 1 + _varint(at + 1, message + 2)
    if size:
        at[0] = 0x12
        at += 1 + _varint(at + 1, size)
        memcpy(at, PyBytes_AS_STRING(content), size)
        at += size
    at[0] = 0x18
    at[1] = 0x02
    buffer.size = at + 2 - buffer.data
    return 0


# --- summaries ----------------------------------------------------------------------------------------


cdef inline bint _is_space(uint64_t character) noexcept nogil:
    """Say what `str.split` takes for white space."""
    if character < 0x80:
        return 9 <= character <= 13 or 28 <= character <= 32
    return (
        character == 0x85 or character == 0xA0 or character == 0x1680 or 0x2000 <= character <= 0x200A
        or character == 0x2028 or character == 0x2029 or character == 0x202F or character == 0x205F
        or character == 0x3000
    )


cdef void _line(Line *line, const uint8_t *at, const uint8_t *end, bint escaped) noexcept nogil:
    """Bring the beginning of a text into one line of at most 80 characters, as `own.shortened` does.

    `escaped` says that the text stands in a JSON string. It is valid UTF-8.
    """
    cdef Py_ssize_t seen = 0
    cdef Py_ssize_t size, cut = 0
    cdef uint64_t character
    cdef bint space = False
    cdef uint8_t one
    cdef const uint8_t *source
    line.size = line.characters = 0
    while at < end and seen < MOST_OF_WORDS:
        # Most of it is letters, with one space between words: as long as there is room for sure, they are just copied.
        if line.characters < LINE - 2 and not space:
            one = at[0]
            if (0x20 < one < 0x7F and not (escaped and one == c'\\')) or (
                one == 0x20 and line.characters and end - at > 1 and 0x20 < at[1] < 0x7F and at[1] != c'\\'
            ):
                line.text[line.size] = one
                line.size += 1
                line.characters += 1
                seen += 1
                at += 1
                continue
        source = at
        size = 1
        character = at[0]
        if character < 0x80:
            if escaped and character == c'\\':
                if end - at < 2 or (at[1] == c'u' and end - at < 6):
                    return  # an escape that is cut off, as no writer leaves it
                character = at[1]
                at += 2
                if character == c'n':
                    character = 10
                elif character == c't':
                    character = 9
                elif character == c'r':
                    character = 13
                elif character == c'f':
                    character = 12
                elif character == c'b':
                    character = 8
                elif character == c'u':
                    character = _digit(at[2]) * 16 + _digit(at[3])
                    at += 4
                one = <uint8_t> character
                source = &one
            else:
                at += 1
        elif character < 0xE0:
            size = 2
            character = (character & 0x1F) << 6 | (at[1] & 0x3F)
            at += 2
        elif character < 0xF0:
            size = 3
            character = (character & 0x0F) << 12 | (at[1] & 0x3F) << 6 | (at[2] & 0x3F)
            at += 3
        else:
            size = 4
            character = 0x10000
            at += 4
        seen += 1
        if _is_space(character):
            space = line.characters > 0
            continue
        if space:
            # One space stands for all of a run; at the end of a text there is none.
            space = False
            if line.characters == LINE:
                line.size = cut
                _ellipsis(line)
                return
            if line.characters == LINE - 1:
                cut = line.size
            line.text[line.size] = c' '
            line.size += 1
            line.characters += 1
        if line.characters == LINE:
            line.size = cut
            _ellipsis(line)
            return
        if line.characters == LINE - 1:
            cut = line.size
        memcpy(line.text + line.size, source, size)
        line.size += size
        line.characters += 1


cdef inline void _ellipsis(Line *line) noexcept nogil:
    memcpy(line.text + line.size, "\xe2\x80\xa6", 3)
    line.size += 3
    line.characters = LINE


cdef inline uint8_t _digit(uint8_t each) noexcept nogil:
    return each - c'0' if each <= c'9' else (each | 0x20) - c'a' + 10


cdef void _cut(Line *line, Py_ssize_t length) noexcept nogil:
    """Leave so many characters; what is cut off leaves an ellipsis, and is never so little that there is no room."""
    if line.characters <= length:
        return
    line.size = _bytes_of(line.text, line.size, length - 1)
    memcpy(line.text + line.size, "\xe2\x80\xa6", 3)
    line.size += 3
    line.characters = length


cdef Py_ssize_t _bytes_of(const uint8_t *text, Py_ssize_t size, Py_ssize_t characters) noexcept nogil:
    """Give how many bytes the first characters of a text take."""
    cdef Py_ssize_t at = 0
    while at < size:
        if text[at] & 0xC0 != 0x80:
            if not characters:
                break
            characters -= 1
        at += 1
    return at


cdef void _pair(Line *asked, Line *answered) noexcept nogil:
    """Put a call and its result into one line, which is the first, as `own.pair_line` does."""
    cdef uint8_t joined[8 * LINE + 64]
    cdef Py_ssize_t size
    if not answered.characters:
        return
    if not asked.characters:
        asked[0] = answered[0]
        return
    size = LINE - 3 - answered.characters
    _cut(asked, size if size > HALF else HALF)
    memcpy(joined, asked.text, asked.size)
    memcpy(joined + asked.size, " \xe2\x86\x92 ", 5)
    memcpy(joined + asked.size + 5, answered.text, answered.size)
    size = asked.size + 5 + answered.size
    asked.characters += 3 + answered.characters
    if asked.characters > LINE:
        size = _bytes_of(joined, size, LINE - 1)
        memcpy(joined + size, "\xe2\x80\xa6", 3)
        size += 3
        asked.characters = LINE
    memcpy(asked.text, joined, size)
    asked.size = size


def line_of(bytes text not None):
    """Give `own.shortened` of what a written JSON value says: of a text the words, else the JSON."""
    cdef Line line
    cdef const uint8_t *data = <const uint8_t *> PyBytes_AS_STRING(text)
    cdef Py_ssize_t size = PyBytes_GET_SIZE(text)
    if size and data[0] == c'"':
        _line(&line, data + 1, data + size - 1, True)
    else:
        _line(&line, data, data + size, False)
    return (<const char *> line.text)[:line.size].decode()


# --- spans --------------------------------------------------------------------------------------------


class _Slotted:
    __slots__ = ("slot",)


_MEMBER = type(_Slotted.slot)


cdef Py_ssize_t _place_of(kind, str attribute) except -1:
    """Say where in an object of a type a slot is, which takes a tenth of the time of asking the object for it."""
    slot = getattr(kind, attribute)
    if type(slot) is not _MEMBER:
        raise TypeError(f"{kind.__name__}.{attribute} is no slot")
    cdef PyMemberDef *member = (<PyMemberDescrObject *> slot).d_member
    if member.type != T_OBJECT_EX:
        raise TypeError(f"{kind.__name__}.{attribute} is no slot that holds an object")
    return member.offset


cdef inline object _slot(object each, Py_ssize_t place):
    cdef PyObject *told = (<PyObject **> (<char *> <PyObject *> each + place))[0]
    if told == NULL:
        raise AttributeError("a slot was never filled")
    return <object> told


cdef class _Op:
    """An entry of a plan for a node and events of certain types."""

    cdef int kind
    cdef int of
    cdef Py_ssize_t place, other
    cdef bytes name
    cdef object data

    def __init__(self, entry, types):
        kind, self.of, attribute, name, self.data = entry
        self.kind = KINDS[kind]
        self.name = name.encode()
        self.place = _place_of(types[self.of], attribute) if attribute else 0
        # Of the second event, the same slot, or that of its end.
        self.other = _place_of(types[2], "end" if kind == "point" else attribute) if kind in ("point", "same") else 0


cdef class Composer:
    """Writes spans by their plans; see `otlp/composing.py`, which does the same."""

    cdef object _event_node, _tool_node, _plan_of, _pair, _failed_pair, _text_part, _sha256, _json_bytes, _from_json
    cdef object _call, _result
    cdef Py_ssize_t _most, _start, _end, _key

    def __init__(self, parts):
        self._event_node, self._tool_node, self._text_part = parts.event_node, parts.tool_node, parts.text_part
        self._sha256, self._json_bytes, self._from_json = parts.sha256, parts.json_bytes, parts.from_json
        self._most = parts.most
        self._call, self._result = parts.call, parts.result
        self._plan_of = {
            kind: (name, constants, [_Op(entry, (parts.event_node, kind)) for entry in plan])
            for kind, (name, constants, plan) in parts.plans.items()
        }
        types = (parts.tool_node, parts.call, parts.result)
        self._pair = [_Op(entry, types) for entry in parts.pair]
        self._failed_pair = [_Op(entry, types) for entry in parts.failed_pair]
        self._start, self._end = _place_of(parts.event_node, "start"), _place_of(parts.event_node, "end")
        self._key = _place_of(parts.call, "key")
        if (
            (self._start, self._end) != (_place_of(parts.tool_node, "start"), _place_of(parts.tool_node, "end"))
            or any(self._key != _place_of(kind, "key") for kind in parts.plans)
        ):
            raise TypeError("nodes, or events, do not have what they share in the same place")

    def bodies(self, nodes, place):
        """Give of each node the field `spans` of a `ScopeSpans`, with its tag and length; None where there is no plan."""
        # Python code runs in between, and with it other threads: so each call has a buffer of its own.
        cdef Buffer buffer
        buffer.size, buffer.room = 0, 65536
        buffer.data = <uint8_t *> malloc(buffer.room)
        if buffer.data == NULL:
            raise MemoryError
        try:
            return self._bodies(&buffer, nodes, place)
        finally:
            free(buffer.data)

    cdef list _bodies(self, Buffer *buffer, nodes, place):
        cdef list made = []
        cdef object event, result, plan
        for node in nodes:
            kind = type(node)
            try:
                if kind is self._event_node:
                    event = node.event
                    plan = self._plan_of.get(type(event))
                    made.append(
                        None if plan is None else self._span(buffer, place, node, event, None, plan[0], plan[1], plan[2])
                    )
                elif kind is self._tool_node:
                    event, result = node.call, node.result
                    if type(event) is not self._call or type(result) is not self._result:
                        made.append(None)
                    else:
                        tool = event.tool
                        made.append(
                            self._span(
                                buffer, place, node, event, result,
                                f"execute_tool {tool}" if tool else "execute_tool", "tool",
                                self._failed_pair if result.failed else self._pair,
                            )
                        )
                else:
                    made.append(None)
            except ValueError:
                made.append(None)  # a value that the general way has to bring into form
        return made

    cdef bytes _span(self, Buffer *buffer, place, node, first, second, str name, str constants, list plan):
        cdef Line asked, answered
        cdef Py_ssize_t size, contents = 0
        cdef uint8_t header[16]
        cdef const char *data
        cdef _Op op
        cdef object value
        cdef bytes content = b""
        cdef bytes raw, before, after, digest, error
        cdef object begin = _slot(node, self._start), end = _slot(node, self._end)
        cdef uint64_t at = (<tuple> begin)[0], until = (<tuple> end)[0]
        if not at:
            return None
        asked.size = asked.characters = answered.size = answered.characters = 0
        buffer.size = 16  # room for the tag and the length of the whole
        trace, seed, heads, constant = place
        _put_bytes(buffer, trace)
        digest = self._sha256(seed + (<str> _slot(first, self._key)).encode()).digest()
        _put(buffer, PyBytes_AS_STRING(digest), 8)
        _put_bytes(buffer, heads[name])
        _reserve(buffer, 18)
        buffer.data[buffer.size] = 0x39
        memcpy(buffer.data + buffer.size + 1, &at, 8)
        buffer.data[buffer.size + 9] = 0x41
        memcpy(buffer.data + buffer.size + 10, &until, 8)
        buffer.size += 18
        _put_bytes(buffer, constant[constants])
        for op in plan:
            if op.kind == CONSTANT:
                _put_bytes(buffer, op.data)
                continue
            if op.kind == SUMMARY:
                if contents > 1:
                    _pair(&asked, &answered)
                if asked.size:
                    if asked.size > self._most:
                        raise ValueError
                    _put_text(buffer, op.name, asked.text, asked.size, NULL, 0, NULL, 0)
                continue
            if op.kind == END:
                _put_bytes(buffer, op.data[(<tuple> begin)[1], (<tuple> end)[1]])
                continue
            if op.kind == FAILED_END:
                timing, error, after = op.data
                _put_bytes(buffer, timing[(<tuple> begin)[1], (<tuple> end)[1]])
                _put_bytes(buffer, error)
                size = _bytes_of(<const uint8_t *> PyBytes_AS_STRING(content), PyBytes_GET_SIZE(content), DESCRIPTION)
                if size > self._most:
                    raise ValueError
                _put_status(buffer, content, size)
                _put_bytes(buffer, after)
                continue
            value = _slot(node if op.of == 0 else first if op.of == 1 else second, op.place)
            if op.kind == ABSENT:
                if value is not op.data and value:
                    raise ValueError
            elif op.kind == SAME:
                if value != _slot(second, op.other):
                    raise ValueError
            elif op.kind == POINT:
                if value != _slot(second, op.other):
                    raise ValueError
            elif op.kind == REPEATED:
                _put_bytes(buffer, op.data[value])
            elif op.kind == NUMBER:
                if value is None:
                    raise ValueError
                _put_number(buffer, op.name, value)
            elif op.kind == TEXT or op.kind == NAME:
                if value is None or (op.kind == NAME and not value):
                    continue
                data = PyUnicode_AsUTF8AndSize(value, &size)
                if size > self._most:
                    raise ValueError
                _put_text(buffer, op.name, data, size, NULL, 0, NULL, 0)
            elif op.kind == RAW:
                if value is not None:
                    raw = self._json_bytes(value)
                    if PyBytes_GET_SIZE(raw) > self._most:
                        raise ValueError
                    _put_text(buffer, op.name, PyBytes_AS_STRING(raw), PyBytes_GET_SIZE(raw), NULL, 0, NULL, 0)
            elif op.kind == VALUE:
                contents += 1
                if value is None:
                    content = b""
                    continue
                content = self._told(value, &asked if contents == 1 else &answered)
                if PyBytes_GET_SIZE(content) > self._most:
                    raise ValueError
                _put_text(buffer, op.name, PyBytes_AS_STRING(content), PyBytes_GET_SIZE(content), NULL, 0, NULL, 0)
            else:
                if op.kind == PART:
                    if len(value) != 1 or type(value[0]) is not self._text_part:
                        raise ValueError
                    value = value[0].text
                if value is None:
                    raise ValueError
                content = value if type(value) is bytes else self._json_bytes(value)
                data = PyBytes_AS_STRING(content)
                size = PyBytes_GET_SIZE(content)
                contents = 1
                _line(&asked, <const uint8_t *> data + 1, <const uint8_t *> data + size - 1, True)
                before, after = op.data
                if len(before) + size + len(after) > self._most:
                    raise ValueError
                _put_text(
                    buffer, op.name, PyBytes_AS_STRING(before), PyBytes_GET_SIZE(before), data, size,
                    PyBytes_AS_STRING(after), PyBytes_GET_SIZE(after),
                )
        size = buffer.size - 16
        header[0] = 0x12
        cdef Py_ssize_t around = 1 + _varint(header + 1, size)
        memcpy(buffer.data + 16 - around, header, around)
        return PyBytes_FromStringAndSize(<const char *> buffer.data + 16 - around, around + size)

    cdef bytes _told(self, value, Line *line):
        """Give the text of what goes to a tool or comes from it, and put a line that says it shortly."""
        cdef const uint8_t *data
        cdef bytes text
        if type(value) is str:
            value = self._json_bytes(value)
        text = value if type(value) is bytes else self._json_bytes(value)
        data = <const uint8_t *> PyBytes_AS_STRING(text)
        if data[0] == c'"':
            _line(line, data + 1, data + PyBytes_GET_SIZE(text) - 1, True)
            return self._from_json(text).encode()
        _line(line, data, data + PyBytes_GET_SIZE(text), False)
        return text
