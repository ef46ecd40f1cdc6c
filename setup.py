"""What pyproject.toml cannot say: one module is compiled. Without a C compiler it is left out: Python does its work."""

from Cython.Build import cythonize
from setuptools import Extension, setup

native = Extension("otel_agent_events._native", ["otel_agent_events/_native.pyx"], optional=True)
setup(ext_modules=cythonize([native], build_dir="build"))
