"""Packaging of Spyder: what is installed with it, and what it needs."""

from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
VERSION = next(line.split('"')[1] for line in (HERE / "spyder/__init__.py").read_text().splitlines()
               if line.startswith("__version__"))

setup(
    name="spyder-crawler",
    version=VERSION,
    description="A distributed web crawler that loses nothing, for people who program in Python",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license_expression="Apache-2.0",
    license_files=["LICENSE"],
    python_requires=">=3.11",
    packages=find_packages(include=["spyder", "spyder.*"]),
    package_data={"spyder": ["py.typed"], "spyder.cli": ["skeleton/*"]},
    install_requires=[
        "ada-url>=4.0",
        "backports.zstd>=1.0; python_version < '3.14'",
        "brotli>=1.2",
        "can-ada>=3.0",
        "certifi>=2024.2.2",
        "click>=8.1",
        "cssselect>=1.2",
        "dnspython>=2.7",
        "lxml>=5.2",
        "msgspec>=0.19",
        "publicsuffixlist>=1.0.2",
        "pycurl>=7.45.4",
        "pyyaml>=6.0.1",
        "pyzmq>=26.2",
        "requests>=2.32",
        "rich>=13.7",
        "rocksdict>=0.3.25",
        "tornado>=6.5.7",
        "turbohtml>=1.15",
        "uvloop>=0.21; sys_platform != 'win32' and implementation_name == 'cpython'",
        "xxhash>=3.5",
    ],
    extras_require={
        "css": ["tinycss2>=1.3"],
        "pdf": ["pypdf>=5.1"],
        "dev": ["pytest>=8.3", "pytest-xdist>=3.6", "hypothesis>=6.100", "tox>=4.20", "mypy>=1.13", "ruff>=0.8",
                "types-PyYAML", "types-requests", "tinycss2>=1.3", "pypdf>=5.1"],
    },
    entry_points={"console_scripts": ["spyder = spyder.cli:main"]},
    classifiers=[
        "Development Status :: 4 - Beta",
        "Environment :: Console",
        "Intended Audience :: Developers",
        "Operating System :: POSIX",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Internet :: WWW/HTTP :: Indexing/Search",
        "Typing :: Typed",
    ],
)
