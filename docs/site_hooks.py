"""What MkDocs is told while it builds the site."""

import re
from pathlib import Path

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File

_FETCHED = re.compile(
    r"<(?:script|link|img|iframe)\b[^>]*\b(?:src|href)=[\"']?(?:https?:)?//[^>]*>"
)


def on_files(files, config):
    """Add changelog.md and contributing.md, which stand in the root of the repository, where people
    look for them there. What they link in docs/ is beside them here."""
    root = Path(config.config_file_path).parent
    for name in ("CHANGELOG.md", "CONTRIBUTING.md"):
        text = (root / name).read_text("utf-8").replace("](docs/", "](")
        files.append(File.generated(config, name.lower(), content=text))
    return files


def on_post_page(output, page, config):
    """Refuse a page that would fetch anything from elsewhere when it is read."""
    found = _FETCHED.search(output)
    if found:
        raise PluginError(f"{page.file.src_uri}: fetched from the network: {found[0]}")
    return output
