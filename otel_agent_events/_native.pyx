# cython: language_level=3, boundscheck=False, wraparound=False, annotation_typing=False
"""What takes most of the time of a replay, as a C compiler has it. Each part has a twin in Python that does the same.

Nothing here knows a platform or a convention: what stands in a span is told by the plan that is handed in.
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_AsUTF8AndSize
from cpython.ref cimport Py_INCREF
from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.stdlib cimport calloc, free, malloc, realloc
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
    void Py_XDECREF(PyObject *each)
    PyObject *PyDict_GetItemWithError(object table, object key) except? NULL

include "_native_claims.pxi"
include "_native_pieces.pxi"
include "_native_spelling.pxi"
include "_native_times.pxi"
include "_native_slots.pxi"
include "_native_reading.pxi"
include "_native_composing.pxi"
