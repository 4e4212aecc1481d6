# SPDX-License-Identifier: MIT
"""Disks that a power cut could have left, from the trace that tests/preload/disk-trouble.c wrote.

The model is stricter than any file system in use: only what a sync covered is there for certain. Of the rest, of each
file a random choice of 512-byte sectors of unsynced writes has arrived; of each folder a random number of its first
unsynced changes of names (a journal keeps their order). A synced file whose name was not synced is not found."""
import pathlib
import struct

CREATED, WRITE, SYNC, TRUNCATE, RENAME, UNLINK, MKDIR, LINK, SYNC_ALL = (1 << i for i in (9, 1, 2, 3, 4, 5, 6, 7, 10))
_RECORD = struct.Struct("IIIIQQQ")
SECTOR = 512


def read_trace(path, root, wanted=lambda name: True):
    """Records below root: (kind, path relative to it, other path, inode, offset, data)."""
    data, at, root, found = pathlib.Path(path).read_bytes(), 0, str(root) + "/", []
    while at < len(data):
        kind, n_path, n_other, _, inode, offset, n_data = _RECORD.unpack_from(data, at)
        at += _RECORD.size
        name = data[at:at + n_path].decode()
        other = data[at + n_path:at + n_path + n_other].decode()
        at += n_path + n_other
        piece = data[at:at + n_data]
        at += n_data
        if name + "/" == root:
            name = root
        inside = name.startswith(root) and wanted(name[len(root):])
        found.append((kind, name[len(root):], other[len(root):], inode, offset, piece) if inside else None)
    return found


class File:
    def __init__(self):
        self.synced, self.pending = bytearray(), []

    def apply(self, content, kind, offset, data):
        if kind == TRUNCATE:
            del content[offset:]
            content.extend(bytes(offset - len(content)))
            return
        if len(content) < offset + len(data):
            content.extend(bytes(offset + len(data) - len(content)))
        content[offset:offset + len(data)] = data

    def sync(self):
        for change in self.pending:
            self.apply(self.synced, *change)
        self.pending = []

    def after_a_cut(self, dice):
        if not self.pending:
            return self.synced
        content, how = bytearray(self.synced), dice.choice(("none", "all", "some", "first"))
        until = dice.randint(0, len(self.pending)) if how == "first" else len(self.pending)
        for kind, offset, data in self.pending[:until] if how != "none" else ():
            if how != "some" or kind == TRUNCATE:
                if how != "some" or dice.random() < 0.5:
                    self.apply(content, kind, offset, data)
                continue
            position = 0
            while position < len(data):
                n = min(SECTOR - (offset + position) % SECTOR, len(data) - position)
                if dice.random() < 0.5:
                    self.apply(content, WRITE, offset + position, data[position:position + n])
                position += n
        return content


def folder_of(path):
    return path.rpartition("/")[0]


class Disk:
    """What is certain and what is pending, after the records that were fed."""

    def __init__(self):
        self.files = {}                       # inode → File
        self.names = {}                       # path → File, or None for a folder: now
        self.synced = {}                      # the same, certain
        self.pending = {}                     # folder → changes of names
        self.syncs = 0

    def feed(self, record):
        if record is None:
            return
        kind, path, other, inode, offset, data = record
        if kind == CREATED:
            self.files[inode] = File()
            self.change(folder_of(path), [(path, self.files[inode])])
        elif kind in (WRITE, TRUNCATE):
            if inode in self.files:
                self.files[inode].pending.append((kind, offset, data))
        elif kind == MKDIR:
            self.change(folder_of(path), [(path, None)])
        elif kind == UNLINK:
            self.change(folder_of(path), [(path, ...)])
        elif kind == RENAME:
            moved = [(other + p[len(path):], f) for p, f in self.names.items() if p == path or p.startswith(path + "/")]
            gone = [(p, ...) for p in list(self.names) if p == path or p.startswith(path + "/")]
            self.change(folder_of(other), gone + moved)
        elif kind == LINK:
            self.change(folder_of(other), [(other, self.names[path])])
        elif kind == SYNC:
            self.syncs += 1
            if path == "" or self.names.get(path, ...) is None:  # numbers of inodes are used again
                self.sync_folder(path)
            elif inode in self.files:
                self.files[inode].sync()
        elif kind == SYNC_ALL:
            self.syncs += 1
            for f in self.files.values():
                f.sync()
            for folder in list(self.pending):
                self.sync_folder(folder)

    def change(self, folder, names):
        self.put(self.names, names)
        self.pending.setdefault(folder, []).append(names)

    @staticmethod
    def put(where, names):
        for path, what in names:
            if what is ...:
                where.pop(path, None)
            else:
                where[path] = what

    def sync_folder(self, folder):
        for names in self.pending.pop(folder, ()):
            self.put(self.synced, names)

    def after_a_cut(self, dice):
        """path → content, or None for a folder."""
        names = dict(self.synced)
        for changes in self.pending.values():
            for change in changes[:dice.choice((0, len(changes), dice.randint(0, len(changes))))]:
                self.put(names, change)
        content, found = {}, {}
        for path, what in names.items():
            parents = [path[:i] for i, c in enumerate(path) if c == "/"]
            if not all(names.get(p, ...) is None for p in parents):
                continue
            if what is not None and id(what) not in content:
                content[id(what)] = bytes(what.after_a_cut(dice))
            found[path] = None if what is None else content[id(what)]
        return found


def write_image(image, folder):
    """Makes the folder hold just that."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True)
    for path in sorted(image):
        if image[path] is None:
            (folder / path).mkdir()
        else:
            (folder / path).write_bytes(image[path])
