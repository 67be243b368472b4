"""Walks the public API of installed Python libraries and yields every documented object under all its names."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import ModuleType

# Importing these opens a browser, prints a poem, starts a GUI toolkit or walks the interpreter's own tests.
_STDLIB_SKIPPED = frozenset(
    {
        "antigravity",
        "this",
        "idlelib",
        "turtle",
        "turtledemo",
        "tkinter",
        "test",
        "lib2to3",
        "ensurepip",
        "distutils",
        "encodings",
    }
)


@dataclass(frozen=True)
class Library:
    """One installed library: the modules whose public names count, and the classes whose methods count too."""

    name: str
    modules: tuple[str, ...]
    classes_with_methods: frozenset[str] = field(default_factory=frozenset)
    all_methods: bool = False


@dataclass(frozen=True)
class ApiObject:
    """A documented object: every public dotted name that reaches it (best one first) and its raw docstring."""

    names: tuple[str, ...]
    docstring: str


def _dotted(prefix: str, names: str) -> tuple[str, ...]:
    return (prefix, *(f"{prefix}.{name}" for name in names.split()))


# Methods of estimators and distributions repeat one text hundreds of times ("Fit the model ..."); methods count
# only where each one says something of its own.
LIBRARIES = (
    Library(
        "numpy",
        _dotted("numpy", "linalg fft random ma polynomial strings lib.stride_tricks testing emath rec"),
        frozenset({"numpy.ndarray", "numpy.random.Generator"}),
    ),
    Library(
        "scipy",
        _dotted(
            "scipy",
            "cluster.hierarchy cluster.vq constants datasets differentiate fft integrate interpolate io linalg ndimage "
            "odr optimize signal signal.windows sparse sparse.csgraph sparse.linalg spatial spatial.distance "
            "spatial.transform special stats stats.contingency stats.mstats stats.qmc stats.sampling",
        ),
        frozenset({"scipy.spatial.transform.Rotation", "scipy.spatial.KDTree"}),
    ),
    Library(
        "sklearn",
        _dotted(
            "sklearn",
            "base calibration cluster compose covariance cross_decomposition datasets decomposition "
            "discriminant_analysis dummy ensemble feature_extraction feature_extraction.image "
            "feature_extraction.text feature_selection gaussian_process gaussian_process.kernels impute inspection "
            "isotonic kernel_approximation kernel_ridge linear_model manifold metrics metrics.cluster "
            "metrics.pairwise mixture model_selection multiclass multioutput naive_bayes neighbors neural_network "
            "pipeline preprocessing random_projection semi_supervised svm tree utils utils.validation",
        ),
    ),
    Library(
        "pandas",
        _dotted("pandas", "api.types api.indexers api.extensions plotting tseries.offsets tseries.frequencies errors"),
        all_methods=True,
    ),
    Library(
        "torch",
        _dotted(
            "torch",
            "amp autograd autograd.functional cuda distributions fft func hub jit linalg nn nn.functional nn.init "
            "nn.utils nn.utils.rnn nn.utils.parametrizations nn.utils.prune optim optim.lr_scheduler optim.swa_utils "
            "profiler random sparse special utils.benchmark utils.checkpoint utils.data",
        ),
        frozenset({"torch.Tensor"}),
    ),
)


def documented_objects() -> list[ApiObject]:
    """Every documented public object of the standard library and of `LIBRARIES`, each once, in name order."""
    named: dict[int, tuple[object, set[str]]] = {}
    for library in (_standard_library(), *LIBRARIES):
        for name, thing in _public_names(library):
            named.setdefault(id(thing), (thing, set()))[1].add(name)
    objects = [
        ApiObject(tuple(sorted(names, key=_name_rank)), docstring)
        for thing, names in named.values()
        if (docstring := _docstring(thing))
    ]
    return sorted(objects, key=lambda found: found.names[0])


def _name_rank(name: str) -> tuple[int, int, str]:
    return name.count("."), len(name), name


def _standard_library() -> Library:
    roots = sorted(name for name in sys.stdlib_module_names if not name.startswith("_") and name not in _STDLIB_SKIPPED)
    modules: list[str] = []
    for root in roots:
        package = _import(root)
        found = (entry.name for entry in pkgutil.iter_modules(getattr(package, "__path__", ())))
        modules += [root, *(f"{root}.{name}" for name in found if not name.startswith("_") and "test" not in name)]
    return Library("the standard library", tuple(modules), all_methods=True)


def _import(name: str) -> ModuleType | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return importlib.import_module(name)
    except Exception:  # a module of another platform (msvcrt, winreg) or with a missing optional part
        return None


def _public_names(library: Library) -> Iterator[tuple[str, object]]:
    for module_name in library.modules:
        module = _import(module_name)
        if module is None:
            continue
        # `math.sin`, but plain `len` for builtins: the name that a programmer types.
        prefix = "" if module_name == "builtins" else f"{module_name}."
        for name in _exported(module):
            thing = _attribute(module, name)
            if not _is_documentable(thing) or not _belongs(thing, library, module_name):
                continue
            yield f"{prefix}{name}", thing
            if inspect.isclass(thing) and (library.all_methods or f"{prefix}{name}" in library.classes_with_methods):
                yield from _methods(f"{prefix}{name}", thing)


def _exported(module: ModuleType) -> list[str]:
    names = getattr(module, "__all__", None) or dir(module)
    return sorted(name for name in set(names) if not name.startswith("_"))


def _attribute(holder: object, name: str) -> object:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return getattr(holder, name)
    except Exception:  # deprecated names raise on access
        return None


def _is_documentable(thing: object) -> bool:
    return inspect.isclass(thing) or (callable(thing) and hasattr(thing, "__doc__") and hasattr(thing, "__name__"))


def _belongs(thing: object, library: Library, module_name: str) -> bool:
    """Whether `thing` is the module's own and not merely imported into it."""
    home = getattr(thing, "__module__", None)
    if not isinstance(home, str):
        return True
    if library.name != "the standard library":
        return home.split(".")[0] == library.name or home == "builtins"
    root = module_name.split(".")[0]
    return (
        home.split(".")[0].lstrip("_") in (root, f"py{root}")
        or home == "builtins" == root
        or _reexports(module_name, home)
    )


def _reexports(module_name: str, home: str) -> bool:
    """`os.path` is `posixpath`, `collections.abc` is `_collections_abc`, `re` compiles in C, and so on."""
    return (
        module_name in {"os", "os.path", "collections.abc", "decimal", "io", "time", "math"}
        and home.split(".")[0] in sys.stdlib_module_names
    )


def _methods(class_name: str, cls: type) -> Iterator[tuple[str, object]]:
    for name in sorted(vars(object).keys() ^ set(dir(cls))):
        if name.startswith("_"):
            continue
        try:
            attribute = inspect.getattr_static(cls, name)
        except AttributeError:
            continue
        method = getattr(attribute, "__func__", attribute)
        if inspect.isroutine(method) or isinstance(method, property):
            yield f"{class_name}.{name}", method


def _docstring(thing: object) -> str:
    """The object's own docstring; an inherited one belongs to the object that it was written for."""
    raw = thing.__dict__.get("__doc__") if inspect.isclass(thing) else getattr(thing, "__doc__", None)
    return inspect.cleandoc(raw) if isinstance(raw, str) else ""
