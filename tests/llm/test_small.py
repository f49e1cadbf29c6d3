"""How the embedded model is asked."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotloop import Done, ToolCallDelta, ToolCallEnd, ToolCallStart, Usage
from hotloop.llm.providers.base import Question
from hotloop.llm.providers.local import LocalStream
from hotloop.llm.providers.small import ONE_LINE, cut, read_call, render, tokens

LIST = {"name": "list_directory", "description": "List a directory.", "parameters": {"properties": {"path": {}}}}
READ = {
    "name": "read_file",
    "description": "Read a text file.\nMore.",
    "parameters": {"properties": {"path": {"type": "string"}, "offset": {"type": "integer"}}, "required": ["path"]},
}
FIND = {
    "name": "grep_file",
    "description": "Search files for a text.",
    "parameters": {"properties": {"pattern": {"type": "string"}}, "required": ["pattern"]},
}
ADD = {
    "name": "add",
    "parameters": {"properties": {"a": {"type": "integer"}, "b": {"type": "number"}}, "required": ["a", "b"]},
}
TOOLS = [{"type": "function", "function": f} for f in (LIST, READ, FIND, ADD)]
CALLED = {"role": "assistant", "content": None, "tool_calls": [
    {"id": "1", "type": "function", "function": {"name": "grep_file", "arguments": '{"pattern": "tool"}'}}
]}  # fmt: skip


def user(text):
    return {"role": "user", "content": text}


def result(text):
    return {"role": "tool", "tool_call_id": "1", "content": text}


def ask(*messages, tools=TOOLS, choice=None, context=4096):
    return render(list(messages), tools, choice, context=context, answer=160)


def root(prompt):
    return prompt.grammar.splitlines()[0]


def test_a_call_is_wanted_until_the_last_task_has_a_result():
    assert ask(user("Find the retry code")).grammar is not None
    assert ask(user("Find the retry code"), CALLED, result("x")).grammar == ONE_LINE
    assert ask(user("a"), CALLED, result("x"), user("Find the retry code")).grammar is not None
    assert ask(user("Find the retry code"), tools=[]).grammar is None
    assert ask(user("Find the retry code"), choice="none").grammar is None
    assert ask(user("Find it"), CALLED, result("x"), choice="required").grammar is not None


def test_arguments_are_taken_from_the_task():
    grammar = root(ask(user('Which file defines the "tool decorator"?')))
    assert json.dumps('"tool"') in grammar
    assert json.dumps('"tool decorator"') in grammar
    assert '"Which' not in grammar
    assert "read_file" not in grammar  # the task names no file
    assert "add(" not in grammar  # and no number


def test_paths_and_numbers_are_told_by_their_look():
    grammar = root(ask(user("Show docs/a.md, add 17 and 2.5")))
    assert json.dumps('"docs/a.md"') in grammar
    assert '"add(" "a=" ("17") ", b=" ("17" | "2.5")' in grammar


def test_a_tool_that_the_task_has_nothing_for_may_be_called_freely():
    assert "string" in root(ask(user("Go on"), tools=[TOOLS[1]]))


def test_a_named_tool_is_the_only_one():
    grammar = root(ask(user("Find retry"), choice={"type": "function", "function": {"name": "list_directory"}}))
    assert grammar == 'root ::= "list_directory(" ")"'


def test_an_answer_is_asked_for_in_one_message_after_examples():
    head = {"role": "system", "content": "Be kind."}
    system, *examples, last = ask(head, user("Q?"), CALLED, result("R")).messages
    assert system == head
    assert [message["role"] for message in examples] == ["user", "assistant"] * 2
    assert last == {"role": "user", "content": "Result of grep_file:\nR\n\nQuestion: Q?\nAnswer in one short sentence."}


def test_an_answer_of_another_form_is_not_asked_for_in_a_sentence():
    prompt = render([user("Q?"), CALLED, result("R")], TOOLS, None, context=4096, answer=160, free=True)
    assert [message["content"] for message in prompt.messages[1:]] == ["Result of grep_file:\nR\n\nQuestion: Q?"]
    assert prompt.grammar is None


def test_earlier_turns_stay_as_they_were():
    talk = ask(user("Q?"), CALLED, result("R"), {"role": "assistant", "content": "A."}, user("Find retry")).messages
    assert [message["content"] for message in talk[1:-1]] == [
        "Q?",
        'grep_file(pattern="tool")',
        'Result of grep_file(pattern="tool"):\nR',
        "A.",
    ]


def test_long_results_are_cut_with_a_visible_mark():
    text = "word " * 5000
    last = ask(user("Q?"), CALLED, result(text)).messages[-1]["content"]
    assert "… [cut: " in last
    assert f" of {len(text)} characters]" in last
    assert last.endswith("Question: Q?\nAnswer in one short sentence.")
    assert tokens(last) < 600


SEARCH = {
    "name": "search",
    "description": "Search.",
    "parameters": {
        "properties": {
            "pattern": {"type": "string", "description": "Regular expression"},
            "path": {"type": "string", "description": "File or folder"},
        },
        "required": ["pattern"],
    },
}


def patterns(task, *messages):
    """What the model may search for."""
    grammar = ask(user(task), *messages, tools=[{"type": "function", "function": SEARCH}]).grammar
    return [json.loads(json.loads(text)) for text in re.findall(r'"\\".*?\\""', grammar.splitlines()[0])]


@pytest.mark.parametrize(
    ("task", "line"),
    [
        ("Which file defines the tool decorator?", "def tool("),
        ("Which file defines the class HotCache?", "class HotCache:"),
        ("Where is the function parse_config defined?", "pub fn parse_config(text: &str) {"),
        ("Where is parseConfig?", "export function parseConfig(text) {"),
        ("In which module does RetryPolicy live?", "class RetryPolicy(Base):"),
        ("Which file implements `dumps`?", "async def dumps(value):"),
        ("Where is the struct Key_Chain?", "pub struct Key_Chain {"),
    ],
)
def test_a_definition_is_looked_for_not_the_words_of_the_question(task, line):
    (pattern,) = patterns(task)
    assert re.search(pattern, line)
    assert not re.search(pattern, "from x import HotCache, RetryPolicy, dumps, parseConfig, parse_config, tool")


def miss(task, *results):
    """What is searched for after searches that found `results`."""
    messages = []
    for text in results:
        (pattern, *_) = patterns(task, *messages)
        arguments = json.dumps({"pattern": pattern})
        call = {"id": str(len(messages)), "function": {"name": "search", "arguments": arguments}}
        messages += [
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": call["id"], "content": text},
        ]
    return messages


@pytest.mark.parametrize(
    "nothing", ["[no line matches in 7 files]", "Error: it failed", "", "t.md:1: # Where is MAX_SIZE defined?"]
)
def test_a_search_that_found_nothing_is_followed_by_a_wider_one(nothing):
    task = "Where is MAX_SIZE defined?"
    messages = miss(task, nothing)
    (wider,) = patterns(task, *messages)
    assert re.search(wider, "MAX_SIZE = 3")
    assert not re.search(*patterns(task), "MAX_SIZE = 3")
    assert ask(user(task), *messages[:-1], {**messages[-1], "content": "a.py:1: MAX_SIZE = 3"}).grammar == ONE_LINE


def test_searching_ends():
    task = "Where is MAX_SIZE defined?"
    messages = [*miss(task, "", ""), *[CALLED, result("")] * 3]
    assert ask(user(task), *messages).grammar == ONE_LINE


def test_a_path_that_a_tool_knows_better_is_taken_from_its_error():
    call = {"id": "1", "function": {"name": "read_file", "arguments": '{"path": "README"}'}}
    wrong = result("Error: README does not exist; did you mean README.md?")
    prompt = ask(user("What does README say about licence?"), {"role": "assistant", "tool_calls": [call]}, wrong)
    assert json.dumps('"README.md"') in root(prompt)
    assert json.dumps('"README"') not in root(prompt)


HITS = """\
README.md:12:     run "Which file defines the tool decorator?"
docs/tools.md:3: def tool(function) makes a tool
src/agent.py:9: from .tool import tool
src/tool.py:244: def tool(function):
tests/test_tool.py:5: def tool():"""


def test_of_a_search_the_definition_in_the_sources_stands_first_and_no_copy_of_the_question():
    last = ask(user("Which file defines the tool decorator?"), CALLED, result(HITS)).messages[-1]["content"]
    told = last.partition("\n\nQuestion")[0].splitlines()
    assert told[1:3] == ["File src/tool.py:", "  line 244: def tool(function):"]
    assert "README.md" not in last
    assert "tests/" not in last
    assert told[-1] == "[2 of 5 lines]"


def test_of_a_long_text_the_passage_stays_that_the_task_is_about():
    text = "\n".join(
        [*(f"line {n}" for n in range(2000)), "It has the MIT licence.", *(f"line {n}" for n in range(2000))]
    )
    last = ask(user("What does README.md say about licences?"), CALLED, result(text)).messages[-1]["content"]
    assert "It has the MIT licence." in last
    assert f" of {len(text)} characters]" in last


@pytest.mark.parametrize(("task", "mark"), [("How many names are there?", "[3 lines]"), ("Which names are there?", "")])
def test_where_a_number_is_asked_for_it_is_told(task, mark):
    last = ask(user(task), CALLED, result("a\nb\nc")).messages[-1]["content"]
    assert last.startswith(f"Result of grep_file:\na\nb\nc\n{mark}")


def test_old_messages_go_first_and_the_head_stays():
    turn = [user("question " * 15), {"role": "assistant", "content": "answer"}]
    prompt = ask({"role": "system", "content": "S"}, *(turn * 200), user("Find retry"), context=1024)
    assert prompt.messages[0] == {"role": "system", "content": "S"}
    assert prompt.messages[-1]["content"].startswith("Find retry")
    assert sum(tokens(m["content"]) + 8 for m in prompt.messages) <= 1024 - 160 - 64


@given(st.text(max_size=3000), st.lists(st.text(max_size=2000), max_size=4))
def test_everything_fits_the_context(task, results):
    messages = [user(task), *([CALLED] if results else []), *(result(text) for text in results)]
    prompt = ask(*messages, context=1024)
    assert sum(tokens(m["content"]) + 8 for m in prompt.messages) <= 1024 - 160 - 64


@given(st.text(max_size=300), st.integers(0, 50))
def test_cut_keeps_the_beginning(text, most):
    short = cut(text, most)
    if short != text:
        head, _, mark = short.rpartition("\n… [cut: ")
        assert text.startswith(head)
        assert mark == f"{len(head)} of {len(text)} characters]"
        assert tokens(head) <= most


names = st.from_regex(r"[a-z_]{1,8}", fullmatch=True)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(names, inner)
)


@given(names, st.dictionaries(names, values))
def test_a_written_call_is_read_back(name, arguments):
    written = f"{name}({', '.join(f'{key}={json.dumps(value)}' for key, value in arguments.items())})"
    read, text = read_call(written)
    assert (read, json.loads(text)) == (name, arguments)


@pytest.mark.parametrize("marked", [True, False], ids=["with its end mark", "without"])
def test_a_call_that_was_written_streams_as_a_tool_call(marked):
    stream = LocalStream(Question({"grammar": "root ::= call"}, []))
    written = [*'find_text(text="x")']
    chunks = [{"choices": [{"delta": {"content": piece}}]} for piece in written]
    chunks.append({"choices": [{"delta": {}, "finish_reason": "stop"}]})
    lines = [json.dumps(chunk).encode() for chunk in chunks] + [b"[DONE]"] * marked
    events = [event for line in lines for event in stream.events(b"data: %b\n\n" % line)]
    events += stream.finish()
    assert [type(event) for event in events] == [ToolCallStart, ToolCallDelta, ToolCallEnd, Usage, Done]
    (call,) = events[-1].reply.tool_calls
    assert (call.name, call.args, events[2].call) == ("find_text", '{"text": "x"}', call)
