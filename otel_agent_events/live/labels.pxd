# What the fields of `labels.py` are, for a C compiler: the same source is compiled where there is one.


cdef class Labeller:
    cdef public object builder
    cdef object _policy
    cdef public dict _templates
    cdef dict _constants

    cpdef object of(self, object node)
    cdef object _constant(self, object kind)
    cdef object _new(self, dict templates, object shape, object node)
    cdef object _as_it_may_leave(self, object node)


cdef object _shape_of_event(object node, object event)
cdef object _shape_of_pair(object node, object call, object result)
cdef bint _says_more(object event)
cdef bint _was_streamed(object event)
cdef bint _is_count(object told)
cdef bint _is_count_or_true(object told)
cdef bint _is_finite(object told)
cdef bint _is_plain(object name)
