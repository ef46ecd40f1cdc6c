# Spans as bytes, by their plans.


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
    cdef uint64_t character, eight, spaces
    cdef bint space = False
    cdef uint8_t one
    cdef const uint8_t *source
    line.size = line.characters = 0
    while at < end and seen < MOST_OF_WORDS:
        # Most of it is letters, with one space between words: as long as there is room for sure, they are just copied.
        if line.characters < LINE - 2 and not space:
            if line.characters < LINE - 10 and end - at >= 8:
                memcpy(&eight, at, 8)
                spaces = _zeros(eight ^ _SPACES) & _HIGH_BITS
                if not (
                    (eight | (eight - _SPACES) | _zeros(eight ^ _BACKSLASHES)) & _HIGH_BITS
                    or spaces & spaces << 8 or (spaces & 0x80 and not line.characters)
                ):
                    size = 7 if spaces >> 63 else 8  # what comes after a space is looked at before it is copied
                    memcpy(line.text + line.size, at, 8)
                    line.size += size
                    line.characters += size
                    seen += size
                    at += size
                    continue
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


cdef inline object _found(object table, object key):
    """Give what a dictionary has; it is asked itself, since one with `__missing__` takes five times as long."""
    cdef PyObject *told = PyDict_GetItemWithError(table, key)
    return table[key] if told == NULL else <object> told


cdef class _Op:
    """An entry of a plan for a node and events of certain types."""

    cdef int kind
    cdef int of
    cdef Py_ssize_t place, other
    cdef bytes name
    cdef object data
    cdef object latest, second  # what was looked up last
    cdef bytes written  # and what was found

    def __init__(self, entry, types):
        kind, self.of, attribute, name, self.data = entry
        self.kind = KINDS[kind]
        self.name = name.encode()
        self.place = _place_of(types[self.of], attribute) if attribute else 0
        # Of the second event, the same slot, or that of its end.
        self.latest = self.second = self  # which nothing else is
        self.written = b""
        self.other = _place_of(types[2], "end" if kind == "point" else attribute) if kind in ("point", "same") else 0


cdef class Composer:
    """Writes spans by their plans; see `otlp/composing.py`, which does the same."""

    cdef object _event_node, _tool_node, _plan_of, _pair, _failed_pair, _text_part, _sha256, _json_bytes, _from_json
    cdef object _call, _result
    cdef Py_ssize_t _most, _start, _end, _key, _at, _timing, _event, _asked, _answered, _tool, _failed

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
        self._event = _place_of(parts.event_node, "event")
        self._asked, self._answered = _place_of(parts.tool_node, "call"), _place_of(parts.tool_node, "result")
        self._tool, self._failed = _place_of(parts.call, "tool"), _place_of(parts.result, "failed")
        self._at, self._timing = _place_of(parts.moment, "at"), _place_of(parts.moment, "timing")
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
                    event = _slot(node, self._event)
                    plan = self._plan_of.get(type(event))
                    made.append(
                        None if plan is None else self._span(buffer, place, node, event, None, plan[0], plan[1], plan[2])
                    )
                elif kind is self._tool_node:
                    event, result = _slot(node, self._asked), _slot(node, self._answered)
                    if type(event) is not self._call or type(result) is not self._result:
                        made.append(None)
                    else:
                        tool = _slot(event, self._tool)
                        made.append(
                            self._span(
                                buffer, place, node, event, result,
                                f"execute_tool {tool}" if tool else "execute_tool", "tool",
                                self._failed_pair if _slot(result, self._failed) else self._pair,
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
        cdef object value, other
        cdef bytes content = b"", written
        cdef bytes raw, before, after, hashed, digest, error
        cdef object begin = _slot(node, self._start), end = _slot(node, self._end)
        cdef uint64_t at = _slot(begin, self._at), until = _slot(end, self._at)
        if not at:
            return None
        asked.size = asked.characters = answered.size = answered.characters = 0
        buffer.size = 16  # room for the tag and the length of the whole
        trace, seed, heads, constant = place
        _put_bytes(buffer, trace)
        data = PyUnicode_AsUTF8AndSize(_slot(first, self._key), &size)
        hashed = PyBytes_FromStringAndSize(NULL, len(<bytes> seed) + size)
        memcpy(PyBytes_AS_STRING(hashed), PyBytes_AS_STRING(<bytes> seed), len(<bytes> seed))
        memcpy(PyBytes_AS_STRING(hashed) + len(<bytes> seed), data, size)
        digest = self._sha256(hashed).digest()
        _put(buffer, PyBytes_AS_STRING(digest), 8)
        _put_bytes(buffer, _found(heads, name))
        _reserve(buffer, 18)
        buffer.data[buffer.size] = 0x39
        memcpy(buffer.data + buffer.size + 1, &at, 8)
        buffer.data[buffer.size + 9] = 0x41
        memcpy(buffer.data + buffer.size + 10, &until, 8)
        buffer.size += 18
        _put_bytes(buffer, _found(constant, constants))
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
                value, other = _slot(begin, self._timing), _slot(end, self._timing)
                if value is not op.latest or other is not op.second:
                    written = op.data[value, other]
                    op.latest, op.second, op.written = value, other, written
                _put_bytes(buffer, op.written)
                continue
            if op.kind == FAILED_END:
                timing, error, after = op.data
                _put_bytes(buffer, _found(timing, (_slot(begin, self._timing), _slot(end, self._timing))))
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
                # Most often it is the very object of the last time.
                if value is not op.latest:
                    written = _found(op.data, value)
                    op.latest, op.written = value, written
                _put_bytes(buffer, op.written)
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
