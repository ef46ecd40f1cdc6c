"""What pyproject.toml cannot say: two modules are compiled. Where there is no C compiler, Python does their work.

`_native` is written for a C compiler, and has a twin in Python for each of its parts. `assemble` is Python, and its
.pxd says what its fields are.
"""

from Cython.Build import cythonize
from setuptools import Extension, setup

modules = cythonize(
    [
        Extension("otel_agent_events._native", ["otel_agent_events/_native.pyx"]),
        Extension("otel_agent_events.assemble", ["otel_agent_events/assemble.py"]),
    ],
    build_dir="build",
    compiler_directives={"language_level": 3, "annotation_typing": False},
)
for module in modules:
    module.optional = True  # said here, since cythonize forgets it
setup(ext_modules=modules)
