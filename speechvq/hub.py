"""The Hugging Face Hub: fetch a model folder from it, send one to it.

An address is ``hf://OWNER/NAME``, or ``hf://OWNER/NAME@REVISION`` for a branch, a tag or a commit.
Nothing without this prefix is ever asked of the network. Files that were fetched stay in the Hub's
own cache.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

PREFIX = "hf://"
FILES = (
    *("model.safetensors", "config.yaml", "speakers.json", "README.md"),
    *("prior/model.safetensors", "prior/config.yaml", "prior/README.md"),
)
"""All that is fetched, and sent, of a model folder with its prior."""
INSTALL = 'pip install "speechvq[hub]"'
_NAME = r"(?!\.\.?(?:[/@]|$))[\w.-]+"
_ADDRESS = re.compile(rf"{PREFIX}({_NAME}/{_NAME})(?:@({_NAME}(?:/{_NAME})*))?", re.ASCII)


def parsed_address(address: str) -> tuple[str, str | None]:
    """The repository and the revision, None for the newest; ValueError for another form."""
    match = _ADDRESS.fullmatch(address)
    if not match:
        raise ValueError(f"{address}: expected {PREFIX}OWNER/NAME or {PREFIX}OWNER/NAME@REVISION")
    return match[1], match[2]


def local_folder(model: str | os.PathLike[str]) -> Path:
    """The path of a model folder: as it is, or for an address that of its files in the Hub's cache.

    Raises
    ------
    ValueError
        Not an address, for all its prefix, or huggingface_hub is not installed.
    OSError
        There is no such repository or revision, or the Hub cannot be reached.
    """
    if not (isinstance(model, str) and model.startswith(PREFIX)):
        return Path(model)
    repository, revision = parsed_address(model)
    with _one_line_errors(model):
        from huggingface_hub import snapshot_download

        return Path(snapshot_download(repository, revision=revision, allow_patterns=list(FILES)))


def is_fetched(folder: Path) -> bool:
    """Whether a folder lies in the Hub's cache, where nothing else should be written."""
    folder = Path(os.path.abspath(folder))
    return folder.parent.name == "snapshots" and folder.parents[1].name.startswith("models--")


def send(address: str, folder: Path, files: Sequence[str], message: str, private: bool) -> str:
    """Send files of a folder to a repository, which is made when missing; returns the web address.

    Parameters
    ----------
    address
        A revision is a branch, which is made when missing.
    folder
        Where the files lie.
    files
        Names in the folder; nothing else is sent.
    message
        Of the commit.
    private
        Whether a new repository is private.

    Raises
    ------
    ValueError, OSError
        As `local_folder`; or writing is not allowed.
    """
    repository, branch = parsed_address(address)
    with _one_line_errors(address):
        from huggingface_hub import HfApi

        api = HfApi()
        api.create_repo(repository, private=private or None, exist_ok=True)
        if branch:
            api.create_branch(repository, branch=branch, exist_ok=True)
        commit = api.upload_folder(
            repo_id=repository,
            folder_path=folder,
            allow_patterns=list(files),
            revision=branch,
            commit_message=message,
        )
    return str(commit.commit_url)


@contextlib.contextmanager
def _one_line_errors(address: str) -> Iterator[None]:
    """Say in one line what huggingface_hub says in several, or that it is missing."""
    try:
        from huggingface_hub import errors
    except ImportError as error:
        raise ValueError(f"{address}: needs huggingface_hub; install it: {INSTALL}") from error
    try:
        yield
    except errors.GatedRepoError as error:
        raise OSError(f"{address}: access must be asked for on its page first") from error
    except errors.RepositoryNotFoundError as error:
        raise OSError(
            f"{address}: no such repository, or it is private; log in with: hf auth login"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise OSError(f"{address}: the repository has no such revision") from error
    except errors.LocalEntryNotFoundError as error:
        raise OSError(f"{address}: the Hub cannot be reached, and it was not fetched before") from (
            error
        )
    except (errors.HFValidationError, errors.LocalTokenNotFoundError, OSError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise OSError(f"{address}: {reason}") from error
