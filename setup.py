"""What pyproject.toml cannot say: some modules are compiled. Where there is no C compiler, Python does their work.

A .pyx is written for a C compiler, and has a twin in Python for each of its parts. Of a .py with a .pxd beside it that
one says what its fields are, and it is compiled as it is.
"""

from pathlib import Path

from Cython.Build import cythonize
from setuptools import setup

typed = [str(each.with_suffix(".py")) for each in Path("otel_agent_events").rglob("*.pxd")]
modules = cythonize(
    ["otel_agent_events/**/*.pyx", *typed],
    build_dir="build",
    compiler_directives={"language_level": 3, "annotation_typing": False},
)
for module in modules:
    module.optional = True  # said here, since cythonize forgets it
setup(ext_modules=modules)
