"""What pyproject.toml cannot say: one module is compiled. Without a C compiler it is left out: Python does its work."""

from Cython.Build import cythonize
from setuptools import Extension, setup

(native,) = cythonize([Extension("otel_agent_events._native", ["otel_agent_events/_native.pyx"])], build_dir="build")
native.optional = True  # said here, since cythonize forgets it
setup(ext_modules=[native])
