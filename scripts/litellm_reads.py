"""Which keys of a mapping a source reads: followed through assignments, arguments, loops and constants."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping

from scripts.litellm_source import BUILDERS, FUNCTIONS, WRAPPERS, Found, Source, assigned, dotted

Passed = dict[tuple[str, str], set[str]]
KEY = re.compile(r"^[A-Za-z][\w-]*$")
LOOPS = (ast.For, ast.AsyncFor, ast.comprehension)
# What the first argument of a reader is called when it is given by name.
NAMED = ("key", "name", "secret_name", "env_var")
# A function of this many namesakes is not followed: the wrong one would be.
NAMESAKES = 2
ROUNDS = 4


class Reads:
    """Keys read of the mappings called ``roots``: name of the section to a pattern of the names it goes by.

    ``readers`` are functions whose first argument is a key: pattern of the name to the section. ``apart`` says in
    which modules a section's name means something else.
    """

    def __init__(
        self,
        source: Source,
        roots: Mapping[str, str],
        readers: Mapping[str, str] | None = None,
        apart: Mapping[str, str] | None = None,
    ) -> None:
        self.source = source
        self.roots = {section: re.compile(pattern) for section, pattern in roots.items()}
        self.readers = {re.compile(pattern): section for pattern, section in (readers or {}).items()}
        self.apart = {section: re.compile(pattern) for section, pattern in (apart or {}).items()}
        self.named: dict[str, str] = {}
        self.found: dict[str, dict[str, Found]] = {section: {} for section in roots}
        self.passed: Passed = defaultdict(set)
        self.words: Passed = defaultdict(set)
        self.asked: set[tuple[str, str]] = set()
        wanted = [*self.roots.values(), *self.readers]
        before: tuple[int, ...] = ()
        scopes: dict[str, list[tuple[ast.AST, list[ast.AST]]]] = {}
        for turn in range(ROUNDS):
            # After the first turn only what passes something on, or is passed something, can say more.
            names = {function for function, _ in {*self.passed, *self.asked}}
            for module, tree in source.modules.items():
                text = source.texts[module]
                if any(name in text for name in names) or (not turn and any(word.search(text) for word in wanted)):
                    if module not in scopes:
                        scopes[module] = [(scope, list(ast.walk(scope))) for scope in self._scopes(tree)]
                    for scope, nodes in scopes[module]:
                        _Function(self, module, scope).read(nodes)
            if self._size() == before:
                break
            before = self._size()

    def _size(self) -> tuple[int, ...]:
        pairs = [len(values) for table in (self.passed, self.words) for values in table.values()]
        return sum(pairs), len(self.asked), sum(len(keys) for keys in self.found.values())

    @staticmethod
    def _scopes(tree: ast.Module) -> Iterator[ast.AST]:
        """Functions and methods, each with the functions inside it, and the module's own statements."""
        todo: list[ast.AST] = [tree]
        while todo:
            node = todo.pop()
            for child in ast.iter_child_nodes(node):
                if isinstance(child, FUNCTIONS):
                    yield child
                elif isinstance(child, ast.ClassDef):
                    todo.append(child)
                else:
                    yield child

    def reader(self, name: str) -> str:
        """The section that a function reads a key of, or nothing."""
        return next((section for pattern, section in self.readers.items() if pattern.fullmatch(name)), "")

    def section(self, name: str) -> str:
        """The section that a name such as ``proxy_general_settings`` stands for, or nothing."""
        if name not in self.named:
            self.named[name] = next((section for section, root in self.roots.items() if root.fullmatch(name)), "")
        return self.named[name]


class _Function:
    """One function while it is read: what its local names stand for."""

    def __init__(self, reads: Reads, module: str, node: ast.AST) -> None:
        self.reads, self.source, self.module = reads, reads.source, module
        self.name = getattr(node, "name", "")
        self.local: dict[str, str] = {}
        self.text: dict[str, frozenset[str]] = {}
        self.own = self._parameters(node)
        for parameter in self.own:
            for section in sorted(reads.passed.get((self.name, parameter), ()), reverse=True):
                self.local[parameter] = section  # one, and the same on every run, when it is called with several
            if (words := reads.words.get((self.name, parameter))) is not None:
                self.text[parameter] = frozenset(words)

    @staticmethod
    def _parameters(node: ast.AST) -> list[str]:
        if not isinstance(node, FUNCTIONS):
            return []
        args = [arg.arg for arg in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
        return args[1:] if args[:1] in (["self"], ["cls"]) else args

    def mapping(self, node: ast.AST | None) -> str:
        """The section an expression is, or nothing."""
        if isinstance(node, ast.Name):
            return self.local.get(node.id) or self.reads.section(node.id)
        if isinstance(node, ast.Attribute):
            return self.reads.section(node.attr)
        if isinstance(node, ast.Subscript):
            return self._named(node.slice)
        if isinstance(node, ast.BoolOp):
            return next((found for value in node.values if (found := self.mapping(value))), "")
        if isinstance(node, ast.IfExp):
            return self.mapping(node.body) or self.mapping(node.orelse)
        if isinstance(node, ast.Await | ast.NamedExpr):
            return self.mapping(node.value)
        if not isinstance(node, ast.Call):
            return ""
        name = dotted(node.func)
        if name in ("get", "pop", "setdefault", "getattr") and node.args:
            return self._named(node.args[1 if name == "getattr" and len(node.args) > 1 else 0])
        if name in WRAPPERS and node.args:
            return next((found for value in node.args if (found := self.mapping(value))), "")
        return self.reads.section(name)

    def _named(self, node: ast.expr) -> str:
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            return self.reads.section(node.value)
        return ""

    def read(self, nodes: list[ast.AST]) -> None:
        for node in nodes:
            if (pair := assigned(node)) is not None and (section := self.mapping(pair[1])):
                self.local.setdefault(pair[0], section)
            if isinstance(node, LOOPS) and isinstance(
                node.iter, ast.Tuple | ast.List | ast.Set | ast.Name | ast.Attribute
            ):
                self._loop(node.target, node.iter)
        for node in nodes:
            if isinstance(node, ast.Call):
                self._call(node)
            elif isinstance(node, ast.Subscript) and (section := self.mapping(node.value)):
                if isinstance(node.ctx, ast.Load):
                    self._key(section, node.slice)
            elif isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.In | ast.NotIn):
                self._key(self.mapping(node.comparators[0]), node.left)

    def _loop(self, target: ast.expr, values: ast.expr) -> None:
        first = target.elts[0] if isinstance(target, ast.Tuple) and target.elts else target
        if isinstance(first, ast.Name) and (words := self.source.strings(self.module, values, self.text)):
            self.text[first.id] = words

    def _key(self, section: str, node: ast.expr, default: ast.expr | None = None) -> None:
        if not section or (section in self.reads.apart and self.reads.apart[section].search(self.module)):
            return
        if isinstance(node, ast.Name) and node.id in self.own and not self.reads.reader(self.name):
            self.reads.asked.add((self.name, node.id))
        if isinstance(node, ast.JoinedStr | ast.Call | ast.BinOp | ast.Subscript):
            return
        for word in self.source.strings(self.module, node, self.text):
            if KEY.match(word):
                value = self.source.value(self.module, default)
                old = self.reads.found[section].get(word)
                if old is None or old.default is None:
                    self.reads.found[section][word] = Found("", value)

    def _call(self, node: ast.Call) -> None:
        name = dotted(node.func)
        taken = isinstance(node.func, ast.Attribute) and name in ("get", "pop") and bool(node.args)
        if taken and (section := self.mapping(node.func.value)):  # type: ignore[attr-defined]
            self._key(section, node.args[0], node.args[1] if len(node.args) > 1 else None)
            return
        if section := self.reads.reader(name):
            given = [*node.args, *(word.value for word in node.keywords if word.arg in NAMED)]
            for first in given[:1]:
                self._key(section, first, node.args[1] if len(node.args) > 1 else None)
        spread = [word.value for word in node.keywords if word.arg is None]
        if name in BUILDERS or (spread and name[:1].isupper()):
            for value in [*node.args, *spread]:
                if section := self.mapping(value):
                    self._built(section, node.func)
        self._follow(name, node)

    def _built(self, section: str, function: ast.expr) -> None:
        """A class is made from the mapping: its fields are keys."""
        builder = isinstance(function, ast.Attribute) and function.attr in BUILDERS
        owner = dotted(function.value) if builder else dotted(function)  # type: ignore[attr-defined]
        place = self.source.find(owner)
        if place is None or (section in self.reads.apart and self.reads.apart[section].search(place[0] + self.module)):
            return
        for key, field in self.source.fields(owner).items():
            self.reads.found[section].setdefault(key, field)

    def _follow(self, name: str, node: ast.Call) -> None:
        """What the arguments of a call make of the parameters of the function that is called."""
        places = self.source.functions.get(name, ())
        if not 0 < len(places) <= NAMESAKES:
            return
        for _, function in places:
            parameters = self._parameters(function)
            given: list[tuple[str, ast.expr]] = list(zip(parameters, node.args, strict=False))
            given += [(word.arg, word.value) for word in node.keywords if word.arg]
            for parameter, value in given:
                if (section := self.mapping(value)) and not self.reads.section(parameter):
                    self.reads.passed[(name, parameter)].add(section)
                if (name, parameter) in self.reads.asked and not isinstance(value, ast.JoinedStr):
                    self.reads.words[(name, parameter)] |= self.source.strings(self.module, value, self.text)
