"""The templates as data: read from their files, and resolved for an environment as CloudFormation would.

What only AWS knows, an ARN or an id of a resource, becomes a text that names it: `RawKey.Arn`.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Any

import yaml

from service.settings import PROJECT

ECS = PROJECT / "deploy" / "ecs"
PSEUDO = {
    "AWS::AccountId": "123456789012",
    "AWS::Region": "eu-central-1",
    "AWS::Partition": "aws",
    "AWS::StackName": "stack",
}
ENVIRONMENTS = ("dev", "prod")
"""Those that have a parameter file."""
LAYERS = ("all", "land", "refine", "load", "quarantine")
NO_VALUE = object()
VARIABLE = re.compile(r"\$\{([^}!]+)\}")

Node = Any
"""What stands in a template, before or after it is resolved."""


class Loader(yaml.SafeLoader):
    """Reads `!Ref x` as `{"Ref": "x"}`, and `!Sub x` as `{"Fn::Sub": "x"}`."""


def _tagged(loader: Loader, suffix: str, node: yaml.Node) -> Node:
    value: Node
    match node:
        case yaml.ScalarNode():
            value = loader.construct_scalar(node)
        case yaml.SequenceNode():
            value = loader.construct_sequence(node, deep=True)
        case _:
            assert isinstance(node, yaml.MappingNode)
            value = loader.construct_mapping(node, deep=True)
    if suffix == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}": value}


Loader.add_multi_constructor("!", _tagged)


@cache
def names() -> tuple[str, ...]:
    """Every template, by its file's name without the ending."""
    return tuple(sorted(path.stem for path in ECS.glob("*.yaml")))


@cache
def template(name: str) -> Mapping[str, Node]:
    """A template as it stands in its file."""
    read: Mapping[str, Node] = yaml.load((ECS / f"{name}.yaml").read_text(encoding="utf-8"), Loader)
    return read


@cache
def given(environment: str) -> Mapping[str, str]:
    """What the parameter file of an environment says."""
    read: Mapping[str, str] = json.loads((ECS / "parameters" / f"{environment}.json").read_text())["Parameters"]
    return read


@dataclass(frozen=True)
class Stack:
    """A template with its parameters, resolved; `imports` are the exports of other stacks."""

    name: str
    parameters: Mapping[str, Node]
    imports: Mapping[str, Node] = field(default_factory=dict)

    @cached_property
    def resources(self) -> dict[str, Mapping[str, Node]]:
        """Those whose condition holds, with their properties resolved."""
        found: dict[str, Mapping[str, Node]] = {}
        for name, one in template(self.name)["Resources"].items():
            if self.holds(one.get("Condition")):
                found[name] = {**one, "Properties": self.resolve(one.get("Properties", {}))}
        return found

    @cached_property
    def exports(self) -> dict[str, Node]:
        """What other stacks import, by the name of the export."""
        return {
            self.resolve(one["Export"]["Name"]): self.resolve(one["Value"])
            for one in template(self.name).get("Outputs", {}).values()
            if "Export" in one and self.holds(one.get("Condition"))
        }

    def of_type(self, kind: str) -> dict[str, Mapping[str, Node]]:
        """The properties of all resources of a type, such as `AWS::SQS::Queue`."""
        return {name: one["Properties"] for name, one in self.resources.items() if one["Type"] == kind}

    def holds(self, condition: str | None) -> bool:
        """Whether a condition is true; none always is."""
        return condition is None or self._true(template(self.name)["Conditions"][condition])

    def refused(self) -> list[str]:
        """What the template's rules say against these parameters."""
        return [
            one["AssertDescription"]
            for rule in template(self.name).get("Rules", {}).values()
            if self._true(rule.get("RuleCondition", {"Fn::Equals": ["", ""]}))
            for one in rule["Assertions"]
            if not self._true(one["Assert"])
        ]

    def resolve(self, node: Node) -> Node:
        """The value; `NO_VALUE` leaves no trace in what holds it."""
        match node:
            case {**only} if len(only) == 1 and (name := str(next(iter(only)))) in FUNCTIONS:
                return FUNCTIONS[name](self, only[name])
            case dict():
                pairs = ((key, self.resolve(value)) for key, value in node.items())
                return {key: value for key, value in pairs if value is not NO_VALUE}
            case list():
                return [value for value in map(self.resolve, node) if value is not NO_VALUE]
        return node

    def ref(self, name: str) -> Node:
        """A parameter's value, or a text that names a resource."""
        if name == "AWS::NoValue":
            return NO_VALUE
        if name in PSEUDO:
            return PSEUDO[name]
        return self.parameters[name] if name in template(self.name)["Parameters"] else f"{name}.Ref"

    def attribute(self, given: list[str]) -> str:
        """A text that names it; of a key, one with the shape of its ARN."""
        name, attribute = given
        key = template(self.name)["Resources"][name]["Type"] == "AWS::KMS::Key"
        return f"arn:aws:kms:key/{name}" if key else f"{name}.{attribute}"

    def substituted(self, given: Node) -> str:
        """Fn::Sub, with places of its own or without."""
        text, own = given if isinstance(given, list) else (given, {})
        places = {name: self.resolve(value) for name, value in own.items()}

        def value(found: re.Match[str]) -> str:
            name = found[1]
            return str(places[name] if name in places else name if "." in name else self.ref(name))

        return VARIABLE.sub(value, text)

    def found(self, given: list[Node]) -> Node:
        """Fn::FindInMap."""
        table, key, column = map(self.resolve, given)
        return template(self.name)["Mappings"][table][key][column]

    def _true(self, node: Node) -> bool:
        match node:
            case {"Condition": name}:
                return self.holds(name)
            case {"Fn::Equals": [one, other]}:
                return str(self.resolve(one)) == str(self.resolve(other))
            case {"Fn::Not": [one]}:
                return not self._true(one)
            case {"Fn::And": several}:
                return all(map(self._true, several))
            case {"Fn::Or": several}:
                return any(map(self._true, several))
        raise AssertionError(f"no condition: {node}")


FUNCTIONS: Mapping[str, Callable[[Stack, Any], Node]] = {
    "Ref": Stack.ref,
    "Fn::GetAtt": Stack.attribute,
    "Fn::ImportValue": lambda stack, name: stack.imports[stack.resolve(name)],
    "Fn::Sub": Stack.substituted,
    "Fn::If": lambda stack, parts: stack.resolve(parts[1] if stack.holds(parts[0]) else parts[2]),
    "Fn::FindInMap": Stack.found,
    "Fn::Join": lambda stack, parts: parts[0].join(stack.resolve(parts[1])),
    "Fn::Split": lambda stack, parts: stack.resolve(parts[1]).split(parts[0]),
    "Fn::Select": lambda stack, parts: stack.resolve(parts[1])[int(parts[0])],
    "Fn::GetAZs": lambda _, __: ["a", "b", "c"],
    "Fn::Cidr": lambda stack, parts: [f"{stack.resolve(parts[0])}#{number}" for number in range(parts[1])],
}
"""By name, what a function makes of the stack and its arguments."""


def parameters(name: str, environment: str, **changed: str) -> dict[str, Node]:
    """What the template gets: `changed`, else the parameter file, else its own default. None is left open."""
    known = {**given(environment), "Image": "repository/acequia@sha256:0", **changed}
    return {
        one: known[one] if one in known else declared["Default"]
        for one, declared in template(name).get("Parameters", {}).items()
    }


@cache
def stacks(environment: str, **changed: str) -> dict[str, Stack]:
    """All of an environment by the name of the template, each with what the others export; `changed` for all."""
    changed = {"Layer": "land", **changed}
    made = {name: Stack(name, parameters(name, environment, **changed)) for name in names()}
    exports = {export: value for one in made.values() for export, value in one.exports.items()}
    return {name: Stack(name, one.parameters, exports) for name, one in made.items()}


def alarms(environment: str, layer: str, **changed: str) -> dict[str, Mapping[str, Node]]:
    """The properties of every alarm that there is beside a layer's service, by the resource's name."""
    made = stacks(environment, Layer=layer, **changed)
    kind = "AWS::CloudWatch::Alarm"
    having = [name for name in names() if any(one["Type"] == kind for one in template(name)["Resources"].values())]
    return {key: one for name in having for key, one in made[name].of_type(kind).items()}


def statements(policy: Node) -> Iterator[Mapping[str, Any]]:
    """A resolved policy's statements, each with lists for one action, resource or principal, too."""
    for one in policy["Statement"]:
        whole = dict(one)
        for part in ("Action", "Resource"):
            if part in whole and not isinstance(whole[part], list):
                whole[part] = [whole[part]]
        yield whole
