"""GorillaFileSystem: a file system with Unix-like commands, each working in the current directory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .base import Simulator
from .file_tree import Directory, File, Node, load
from .limits import LARGEST_RESULT, Budget

_FORBIDDEN = '|/\\?%*:"><'
_COUNTED = {"l": "lines", "w": "words", "c": "characters"}


class GorillaFileSystem(Simulator):
    """Directories and text files. The state that counts is the tree; where the agent stands in it does not."""

    root: Directory
    long_context: bool

    def _load(self, scenario: Mapping[str, Any], long_context: bool) -> None:
        self.root = Directory("/")
        self.long_context = long_context
        if scenario.get("root"):
            name, description = next(iter(scenario["root"].items()))  # some scenarios list stray trees after the first
            self.root = load(name, description)
            if long_context:
                self._extend(self.root)
        self._current = self.root

    def _extend(self, directory: Directory) -> None:
        untouched, extension = self._extension("FILES_TAIL_USED"), self._extension("FILE_CONTENT_EXTENSION")
        crowd = self._extension("POPULATE_FILE_EXTENSION")
        directories = [directory]
        for _, node in directory.walk():
            if isinstance(node, Directory):
                directories.append(node)
            elif node.name not in untouched:
                node.content += extension
        for leaf in directories:
            if not any(isinstance(node, Directory) for node in leaf.contents.values()):
                leaf.contents.update({name: File(name) for name in crowd})

    def pwd(self) -> dict[str, Any]:
        """Show the full path of the current directory."""
        names = []
        directory: Directory | None = self._current
        while directory is not None:
            names.append(directory.name)
            directory = directory.parent
        return {"current_working_directory": "/" + "/".join(reversed(names))}

    def ls(self, a: bool = False) -> dict[str, Any]:
        """List the current directory.

        Args:
            a: list names that begin with a dot, too.
        """
        names = [name for name in self._current.contents if a or not name.startswith(".")]
        return {"current_directory_content": names}

    def cd(self, folder: str) -> dict[str, Any]:
        """Enter another directory, one level at a time.

        Args:
            folder: name of a directory in the current one, '..' for the one above, '/' for the topmost.
        """
        folder = folder.rstrip("/") or "/"
        if folder == "/":
            self._current = self.root
        elif folder == "..":
            if self._current.parent is not None:
                self._current = self._current.parent
                return {}
            if self._current == self.root:
                return {"error": "Current directory is already the root. Cannot go back."}
            return {"error": "cd: ..: No such directory"}
        elif "/" in folder:
            return {"error": f"cd: {folder}: Unsupported path. Only one folder level at a time is supported."}
        elif folder != ".":
            target = self._current.contents.get(folder)
            if not isinstance(target, Directory):
                return {"error": f"cd: '{folder}': No such file or directory"}
            self._current = target
        return {"current_working_directory": self._current.name}

    def mkdir(self, dir_name: str) -> dict[str, Any] | None:
        """Make a directory in the current one.

        Args:
            dir_name: name of the new directory, without a path.
        """
        problem = self._new_name_problem(dir_name)
        if problem:
            return {"error": f"mkdir: cannot create directory '{dir_name}': {problem}"}
        self._current.contents[dir_name] = Directory(dir_name, self._current)
        return None

    def touch(self, file_name: str) -> dict[str, Any] | None:
        """Make an empty file in the current directory.

        Args:
            file_name: name of the new file, without a path.
        """
        problem = self._new_name_problem(file_name)
        if problem:
            return {"error": f"touch: cannot touch '{file_name}': {problem}"}
        self._current.contents[file_name] = File(file_name)
        return None

    def _new_name_problem(self, name: str) -> str | None:
        if _is_forbidden(name):
            return "Invalid character"
        return "File exists" if name in self._current.contents else None

    def echo(self, content: str, file_name: str | None = None) -> dict[str, Any] | None:
        """Print a text, or write it to an existing file in place of what the file held.

        Args:
            content: the text.
            file_name: file in the current directory to write to; without it the text is printed.
        """
        if file_name is not None and _is_forbidden(file_name):
            return {"error": f"echo: cannot write to '{file_name}': Invalid character"}
        if not file_name:
            return {"terminal_output": content}
        if file_name not in self._current.contents:
            return {"error": f"echo: cannot write to '{file_name}': No such file"}
        node = self._entry(file_name)
        if not isinstance(node, File):
            raise AttributeError("'Directory' object has no attribute '_write'")
        node.content = content
        return None

    def cat(self, file_name: str) -> dict[str, Any]:
        """Show the text of a file.

        Args:
            file_name: file in the current directory, without a path.
        """
        if _is_forbidden(file_name):
            return {"error": f"cat: '{file_name}': Invalid character"}
        node = self._entry(file_name)
        if isinstance(node, Directory):
            return {"error": f"cat: '{file_name}': Is a directory"}
        if node is None:
            return {"error": f"cat: '{file_name}': No such file or directory"}
        return {"file_content": node.content}

    def find(self, path: str = ".", name: str | None = None) -> dict[str, Any]:
        """List all entries below a directory, at every level.

        Args:
            path: directory to start from; '.' is the current one.
            name: list only entries whose names contain this text.
        """
        start = self._resolve(path)
        if start is None:
            return {"error": f"find: '{path}': No such file or directory"}
        prefix = path.rstrip("/")
        budget = Budget(LARGEST_RESULT, "the list of matches")
        matches = []
        for names, _ in start.walk():
            if name is None or name in names[-1]:
                match = "/".join((prefix, *map(str, names)))  # a tuple can be a name
                budget.charge(len(match))
                matches.append(match)
        return {"matches": matches}

    def _resolve(self, path: str | None) -> Directory | None:
        if path is None or path == ".":
            return self._current
        if path == "/":
            return self.root
        names = path.strip("/").split("/")
        directory = self.root if path.startswith("/") else self._current
        for name in names:
            node: Node | None = directory if name == "." else directory.contents.get(name)
            if not isinstance(node, Directory):
                return None
            directory = node
        return directory

    def wc(self, file_name: str, mode: str = "l") -> dict[str, Any]:
        """Count the lines, words or characters of a file.

        Args:
            file_name: file in the current directory, without a path.
            mode: what to count: 'l' lines, 'w' words, 'c' characters.
        """
        if mode not in list(_COUNTED):  # a list, because a mode may be anything, even unhashable
            return {"error": f"wc: invalid mode '{mode}'"}
        file = self._file(file_name)
        if file is None:
            return {"error": f"wc: {file_name}: No such file or directory"}
        text = file.content
        counted = text.splitlines() if mode == "l" else text.split() if mode == "w" else text
        return {"count": len(counted), "type": _COUNTED[mode]}

    def sort(self, file_name: str) -> dict[str, Any]:
        """Show the lines of a file in sorted order; the file stays as it is.

        Args:
            file_name: file in the current directory, without a path.
        """
        file = self._file(file_name)
        if file is None:
            return {"error": f"sort: {file_name}: No such file or directory"}
        return {"sorted_content": "\n".join(sorted(file.content.splitlines()))}

    def grep(self, file_name: str, pattern: str) -> dict[str, Any]:
        """Show the lines of a file that contain a text.

        Args:
            file_name: file in the current directory, without a path.
            pattern: the text, taken literally.
        """
        file = self._file(file_name)
        if file is None:
            return {"error": f"grep: {file_name}: No such file or directory"}
        return {"matching_lines": [line for line in file.content.splitlines() if pattern in line]}

    def tail(self, file_name: str, lines: int = 10) -> dict[str, Any]:
        """Show the last lines of a file.

        Args:
            file_name: file in the current directory, without a path.
            lines: how many lines to show.
        """
        file = self._file(file_name)
        if file is None:
            return {"error": f"tail: {file_name}: No such file or directory"}
        text = file.content.splitlines()
        if lines > len(text):
            lines = len(text)
        return {"last_lines": "\n".join(text[-lines:])}  # 0 lines show all, as upstream does

    def diff(self, file_name1: str, file_name2: str) -> dict[str, Any]:
        """Compare two files line by line.

        Args:
            file_name1: first file in the current directory.
            file_name2: second file in the current directory.
        """
        here = self._current.contents
        known = file_name1 in here and file_name2 in here  # an unhashable second name raises only after a known first
        first, second = (self._file(file_name1), self._file(file_name2)) if known else (None, None)
        if first is None or second is None:
            return {"error": f"diff: {file_name1} or {file_name2}: No such file or directory"}
        pairs = zip(first.content.splitlines(), second.content.splitlines(), strict=False)
        return {"diff_lines": "\n".join(f"- {old}\n+ {new}" for old, new in pairs if old != new)}

    def _file(self, name: str) -> File | None:
        node = self._entry(name)
        return node if isinstance(node, File) else None

    def _entry(self, name: str) -> Node | None:
        node = self._current.contents.get(name)
        # Entries called "." can be made, and are taken for the current directory from then on.
        return self._current if name == "." and node is not None else node

    def mv(self, source: str, destination: str) -> dict[str, Any]:
        """Rename a file or directory, or move it into another directory.

        Args:
            source: entry of the current directory.
            destination: its new name, or a directory in the current one that takes it in.
        """
        node = self._entry(source)
        if node is None:
            return {"error": f"mv: cannot move '{source}': No such file or directory"}
        if "/" in destination:
            return {"error": "mv: path not allowed in destination. Provide only a file or directory name."}
        target, name, shown = self._current, destination, destination
        inner = self._entry(destination)
        if inner is not None:
            shown = f"{destination}/{source}"
            if isinstance(inner, File):
                return {"error": f"mv: cannot move '{source}' to '{destination}': Not a directory"}
            if source in inner.contents:
                return {"error": f"mv: cannot move '{source}' to '{shown}': File exists"}
            target, name = inner, source
        del self._current.contents[source]
        # A moved directory is a new node with the old entries, whose parent links still lead to the old node.
        target.contents[name] = (
            File(name, node.content) if isinstance(node, File) else Directory(name, target, node.contents)
        )
        return {"result": f"'{source}' moved to '{shown}'"}

    def cp(self, source: str, destination: str) -> dict[str, Any]:
        """Copy a file or directory under a new name, or into another directory.

        Args:
            source: entry of the current directory.
            destination: name of the copy, or a directory in the current one that takes it in.
        """
        node = self._entry(source)
        if node is None:
            return {"error": f"cp: cannot copy '{source}': No such file or directory"}
        if "/" in destination:
            return {"error": "cp: path not allowed in destination. Provide only a file or directory name."}
        target, name, shown = self._current, destination, destination
        inner = self._entry(destination)
        if inner is not None:
            if isinstance(inner, File):
                return {"error": f"cp: cannot copy '{source}' to '{destination}': Not a directory"}
            if source in inner.contents:  # upstream's own check misses this, and the one below it raises
                raise ValueError(f"{type(node).__name__} '{source}' already exists in directory '{inner.name}'.")
            target, name, shown = inner, source, f"{destination}/{source}"
        if isinstance(node, File):
            target.contents[name] = File(name, node.content)
        else:
            clone = target.contents[name] = Directory(name, target)
            # Shallow, and only now, as upstream: files are shared with the original, and `cp d d` contains itself.
            clone.contents = dict(node.contents)
        return {"result": f"'{source}' copied to '{shown}'"}

    def rm(self, file_name: str) -> dict[str, Any]:
        """Remove a file, or a directory with all that is in it.

        Args:
            file_name: entry of the current directory.
        """
        if file_name not in self._current.contents:
            return {"error": f"rm: cannot remove '{file_name}': No such file or directory"}
        del self._current.contents[file_name]
        return {"result": f"'{file_name}' removed"}

    def rmdir(self, dir_name: str) -> dict[str, Any]:
        """Remove an empty directory.

        Args:
            dir_name: directory in the current one.
        """
        node = self._entry(dir_name)
        if node is None:
            return {"error": f"rmdir: cannot remove '{dir_name}': No such file or directory"}
        if isinstance(node, File):
            return {"error": f"rmdir: cannot remove '{dir_name}': Not a directory"}
        if node.contents:
            return {"error": f"rmdir: cannot remove '{dir_name}': Directory not empty"}
        del self._current.contents[dir_name]
        return {"result": f"'{dir_name}' removed"}

    def du(self, human_readable: bool = False) -> dict[str, Any]:
        """Add up the sizes of all files below the current directory.

        Args:
            human_readable: show the sum in a fitting unit instead of in bytes.
        """
        # By identity, because one file or text can be reached on very many paths.
        files = [node for _, node in self._current.walk() if isinstance(node, File)]
        sizes = {id(file): len(file.content.encode("utf-8")) for file in {id(file): file for file in files}.values()}
        size: float = sum(sizes[id(file)] for file in files)
        if not human_readable:
            return {"disk_usage": f"{size} bytes"}
        units = iter(("B", "KB", "MB", "GB", "TB", "PB"))
        unit = next(units)
        while size >= 1024 and unit != "PB":
            size, unit = size / 1024, next(units)
        return {"disk_usage": f"{size:.2f} {unit}"}


def _is_forbidden(name: str) -> bool:
    return any(character in name for character in _FORBIDDEN)
