"""The registry finds built-in and foreign connectors, and says in a sentence what it cannot find."""

from __future__ import annotations

import importlib
import subprocess
import sys
from typing import Any

import pytest
from pydantic import ValidationError

from teleporter_lab.config.block import parse_block
from teleporter_lab.connectors.base import (
    BUILTIN,
    Address,
    BatchOptions,
    Connector,
    NoRoller,
    Options,
    Place,
    Registry,
    Spec,
    address_of,
    position_field,
    require,
)
from teleporter_lab.connectors.memory import Memory
from teleporter_lab.errors import ConnectorError, InvalidConfig, MissingDriver, UnknownConnector


class OtherOptions(Options):
    queue_name: str


class OtherConnector(Connector):
    category = "other"
    aliases = ("another",)
    description = "Somebody else's."
    source = Spec(OtherOptions, lambda options, address: (options, address), guarantee="None at all.")


class Thief(Connector):
    category = "thief"
    aliases = ("csv",)


class SinkOnly(Connector):
    category = "sinkOnly"
    sink = Spec(OtherOptions, lambda options, address: (options, address), columnar=lambda options, address: None)


def place(name: str, found: Any) -> Place:
    return Place(name, f"package:{name}", lambda: found)


def absent() -> object:
    return importlib.import_module("a_package_that_is_not_there")


def test_every_builtin_is_found_by_its_category_and_named_after_its_module() -> None:
    registry = Registry.load()
    for builtin in BUILTIN:
        category = builtin.split(":")[0].rpartition(".")[2]
        assert registry.get(category).category == category
    assert registry.problems == {}


@pytest.mark.parametrize("alias", ["jdbc", "mysql", "hive"])
def test_an_alias_of_the_ancestor_gives_the_same_connector(alias: str) -> None:
    registry = Registry.load()
    assert registry.get(alias) is registry.get("sql")


def test_an_unknown_category_is_answered_with_the_known_ones() -> None:
    with pytest.raises(UnknownConnector, match=r"no connector 'nosuch'; the known ones are csv, file, generator,"):
        Registry.load().get("nosuch")


def test_one_category_costs_one_import() -> None:
    code = (
        "import sys; from teleporter_lab.connectors.base import Registry; Registry.load().get('generator');"
        "assert 'teleporter_lab.connectors.generator' in sys.modules;"
        "assert 'teleporter_lab.connectors.csv' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_form_is_served_without_a_driver() -> None:
    code = (
        "import sys; from teleporter_lab.connectors.base import Registry; r = Registry.load();"
        "[s.model.model_json_schema() for c in r.all() for s in c.specs().values()]; r.describe();"
        "assert 'sqlalchemy' not in sys.modules, 'a form must not cost the import of SQLAlchemy'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("category", [builtin.split(":")[0].rpartition(".")[2] for builtin in BUILTIN])
def test_every_field_of_every_form_is_described_and_every_end_states_its_guarantee(category: str) -> None:
    for table, spec in Registry.load().get(category).specs().items():
        for name, field in spec.model.model_fields.items():
            assert field.description, f"{category} {table} {name}"
        assert table == "address" or spec.guarantee


def test_a_roller_that_the_connector_has_not_is_a_mistake_and_an_empty_one_is_none() -> None:
    model = Registry([place("other", OtherConnector)]).block_models("source", "other")
    assert model is not None
    assert parse_block(model["roller"], {}, ("roller",)) == NoRoller()
    with pytest.raises(InvalidConfig) as refused:
        parse_block(model["roller"], {"page": 1}, ("roller",))
    assert [problem.path for problem in refused.value.problems] == ["roller.page"]


def test_a_connector_of_another_package_is_one_class_and_one_entry_point() -> None:
    registry = Registry([place("other", OtherConnector)])
    assert registry.get("another") is OtherConnector
    assert registry.block_models("source", "other") == {"client": OtherOptions, "roller": NoRoller}
    assert registry.describe() == [
        {
            "category": "other",
            "aliases": ["another"],
            "description": "Somebody else's.",
            "extra": None,
            "address": False,
            "source": True,
            "sink": False,
            "needsAddress": False,
            "columnar": [],
            "guarantees": {"source": "None at all."},
        }
    ]


def test_a_connector_that_cannot_be_loaded_harms_no_other() -> None:
    broken = Place("broken", "package:broken", absent)
    registry = Registry([broken, place("other", OtherConnector)])
    assert [connector.category for connector in registry.all()] == ["other"]
    with pytest.raises(UnknownConnector, match="package:broken cannot be loaded: No module named"):
        registry.get("broken")


def test_what_is_no_connector_is_a_problem() -> None:
    registry = Registry([place("number", 5), place("abstract", Connector)])
    assert registry.all() == []
    assert registry.problems["package:number"] == (
        "What stands at package:number is no subclass of Connector with a category."
    )
    assert "package:abstract" in registry.problems


def test_a_name_that_is_taken_stays_with_the_first() -> None:
    registry = Registry.load()
    registry.get("csv")
    taken = Registry([place("csv", registry.get("csv")), place("thief", Thief)])
    assert taken.all()
    assert taken.get("csv").category == "csv"
    assert "is called csv, which" in taken.problems["package:thief"]


def test_block_models_of_a_table_that_has_no_connector_are_none() -> None:
    assert Registry.load().block_models("stream", "whatever") == {}


def test_block_models_say_what_a_connector_has() -> None:
    with pytest.raises(UnknownConnector, match=r"The connector generator has no sink; it has source\."):
        Registry.load().block_models("sink", "generator")


def test_options_are_camel_case_and_refuse_what_they_do_not_know() -> None:
    assert BatchOptions.model_validate({"batchSize": 7, "batchTime": "2.seconds"}).batch_time == 2.0
    assert BatchOptions().batch_size == 2000
    assert BatchOptions().batch_time == 0.1
    with pytest.raises(ValidationError, match="Extra inputs are not permitted") as refused:
        BatchOptions.model_validate({"batchSice": "hunter2"})
    assert "hunter2" not in str(refused.value)


def test_a_batch_of_columns_is_larger_unless_the_config_says_otherwise() -> None:
    assert BatchOptions().batch_of(columnar=False) == 2000
    assert BatchOptions().batch_of(columnar=True) == 16_384
    assert BatchOptions(batch_size=2000).batch_of(columnar=True) == 2000


def test_a_connector_without_columns_names_those_that_have_them() -> None:
    registry = Registry.load()
    assert callable(registry.columnar_source("csv"))
    with pytest.raises(
        ConnectorError,
        match=r"^A source of category memory gives no columns: .* one of csv, file, kafka, parquet, sql\.$",
    ):
        registry.columnar_source("memory")
    with pytest.raises(UnknownConnector, match="has no source"):
        Registry([place("sinkOnly", SinkOnly)]).columnar_source("sinkOnly")


def test_a_missing_driver_says_how_to_install_it() -> None:
    with pytest.raises(MissingDriver, match=r"pip install 'teleporter-lab\[kafka\]'"):
        require("a_driver_that_is_not_there", "kafka")
    assert require("json", "none").loads("1") == 1


def test_an_address_of_another_technology_is_refused() -> None:
    memory = Memory()
    assert isinstance(memory, Address)
    assert address_of(Memory, memory, "memory") is memory
    with pytest.raises(ConnectorError, match="needs an address of category memory; none is configured"):
        address_of(Memory, None, "memory")
    with pytest.raises(ConnectorError, match="the one configured is a str"):
        address_of(Memory, "x", "memory")


@pytest.mark.parametrize("position", [None, 5, [], {}, {"offset": "1"}, {"offset": -1}, {"offset": None}])
def test_a_position_that_is_none_is_refused(position: Any) -> None:
    with pytest.raises(ConnectorError, match="no position of a file: offset is missing or no whole number"):
        position_field(position, "offset", int, "a file")
    assert position_field({}, "row", int, "a file", default=0) == 0
