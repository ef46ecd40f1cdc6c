# Events of usual records, by a list of what goes where; `fetchers/reading.py` does the same.

cdef enum:
    SAME_TEXT, NONEMPTY, TIME, EITHER, FLAG

FIELDS = {"same": SAME_TEXT, "text": NONEMPTY, "time": TIME, "either": EITHER, "flag": FLAG}

cdef enum:
    CONTENT_WORDS, CONTENT_PART, CONTENT_PARTS, CONTENT_VALUE

CONTENTS = {"words": CONTENT_WORDS, "part": CONTENT_PART, "parts": CONTENT_PARTS, "value": CONTENT_VALUE}


cdef class _Field:
    """Where a field of a record of a certain type goes in an event of a certain type."""

    cdef int kind
    cdef Py_ssize_t source, other, first, second  # -1 for what there is not

    def __init__(self, field, record, event):
        kind, source, targets, other = field
        self.kind = FIELDS[kind]
        self.source = _place_of(record, source)
        self.other = _place_of(record, other) if other else -1
        places = [_place_of(event, target) for target in targets]
        if len(places) > 2 or (kind == "either") != bool(other):
            raise ValueError(f"the field {source} cannot be read so")
        self.first, self.second = [*places, -1, -1][:2]


cdef class _Form:
    """What becomes of the records of a type."""

    cdef object event, copied
    cdef list fields
    cdef int content_kind
    cdef Py_ssize_t content, target
    cdef uint64_t salt

    def __init__(self, form, record):
        kind = type(form.event)
        self.event, self.copied = form.event, kind.__copy__
        self.fields = [_Field(field, record, kind) for field in form.fields]
        content_kind, target = form.content
        self.content_kind = CONTENTS[content_kind]
        self.content, self.target = _place_of(record, "content"), _place_of(kind, target)
        self.salt = <uint64_t> <int64_t> hash(kind)


cdef class RecordReader:
    """Makes events of records."""

    cdef dict _forms
    cdef object _parts, _respelled, _text, _unset
    cdef Py_ssize_t _deepest

    def __init__(self, forms, helpers):
        self._forms = {record: _Form(form, record) for record, form in forms.items()}
        self._parts, self._respelled = helpers.parts, helpers.respelled
        self._text, self._unset = helpers.text, helpers.unset
        self._deepest = helpers.deepest

    def read(self, records, str same not None):
        """Read records; None when one of them is out of the usual."""
        cdef list events = [], digests = []
        cdef uint64_t digest
        for record in records:
            form = self._forms.get(type(record))
            if form is None:
                return None
            event = self._event(record, <_Form> form, same, &digest)
            if event is None:
                return None
            events.append(event)
            digests.append(<int64_t> digest)
        return events, digests

    cdef object _event(self, record, _Form form, str same, uint64_t *told):
        cdef object event = form.copied(form.event)
        cdef object value, other
        cdef _Field field
        cdef uint64_t digest = form.salt
        for field in form.fields:
            value = _slot(record, field.source)
            if field.kind == SAME_TEXT:
                if value != same:
                    return None
                continue
            digest = (digest ^ <uint64_t> <int64_t> hash(value)) * _FIRST
            digest ^= digest >> 29
            if field.kind == NONEMPTY:
                if not (<str> value):
                    return None
            elif field.kind == TIME:
                value = parse_usual(<str> value)
                if value is None:
                    return None
            elif field.kind == EITHER:
                other = _slot(record, field.other)
                digest = (digest ^ <uint64_t> <int64_t> hash(other)) * _FIRST
                digest ^= digest >> 29
                if value is self._unset:
                    value = other
                elif other is not self._unset:
                    return None
                if value is self._unset:
                    value = None
                elif not (<str> value):
                    return None
            elif value is self._unset:
                value = None
            if field.first >= 0:
                _set_slot(event, field.first, value)
            if field.second >= 0:
                _set_slot(event, field.second, value)
        value = self._content(_slot(record, form.content), form.content_kind, &digest)
        if value is None:
            return None
        _set_slot(event, form.target, value)
        told[0] = digest or 1
        return event

    cdef object _content(self, raw, int kind, uint64_t *told):
        """Give what goes to the event; None when it is out of the usual."""
        cdef Py_buffer view
        cdef const uint8_t *at
        cdef uint64_t digest
        cdef bytes content
        PyObject_GetBuffer(raw, &view, PyBUF_SIMPLE)
        try:
            at = <const uint8_t *> view.buf
            if _look(at, at + view.len, self._deepest, &digest):
                content = PyBytes_FromStringAndSize(<const char *> at, view.len)
            else:
                try:
                    content = self._respelled(PyBytes_FromStringAndSize(<const char *> at, view.len), self._deepest)
                except ValueError:
                    return None
                at = <const uint8_t *> PyBytes_AS_STRING(content)
                _look(at, at + PyBytes_GET_SIZE(content), self._deepest, &digest)
        finally:
            PyBuffer_Release(&view)
        told[0] = _mixed(told[0] * _SECOND ^ digest)
        if kind == CONTENT_PARTS:
            return self._parts(content)
        if kind == CONTENT_VALUE:
            return None if content == b"null" else content
        if PyBytes_AS_STRING(content)[0] != c'"':
            return None
        return content if kind == CONTENT_WORDS else (self._text(text=content),)
