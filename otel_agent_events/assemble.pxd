# What the fields of `assemble.py` are, for a C compiler: the same source is compiled where there is one.


cdef class Extent:
    cdef public object start, end

    cpdef cover(self, start, end)


cdef class _Turn:
    cdef public Extent extent
    cdef public object first, last, failure
    cdef public Py_ssize_t number, interrupted, open


cdef class _Waiting:
    cdef public object event, start, end
    cdef public bint clamped
    cdef public Py_ssize_t index
    cdef public _Turn turn


cdef class Assembler:
    cdef object _session, _known, _steps, _step, _latest, _first, _last
    cdef bint _turns, _said
    cdef list _closed, _held
    cdef _Turn _turn
    cdef dict _calls, _early
    cdef Extent _extent
    cdef Py_ssize_t _settled, _events, _tool_calls, _tool_errors, _missing

    cdef _take(self, event)
    cdef tuple _place(self, event, kind)
    cdef _reach(self, at, kind)
    cdef _take_call(self, _Waiting call)
    cdef _take_result(self, _Waiting result)
    cdef _close_pair(self, _Waiting call, _Waiting result)
    cdef _cover(self, _Turn turn, start, end)


cdef _put(dict queues, call_id, waiting)
cdef _oldest(dict queues, call_id)
