# Stamps as nanoseconds.


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
