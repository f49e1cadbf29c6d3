"""How the embedded model is asked."""

import json

from hypothesis import given
from hypothesis import strategies as st

from hotloop.llm.providers.small import cut, read_call, render, tokens

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
    assert ask(user("Find the retry code"), CALLED, result("x")).grammar is None
    assert ask(user("a"), CALLED, result("x"), user("Find the retry code")).grammar is not None
    assert ask(user("Find the retry code"), tools=[]).grammar is None
    assert ask(user("Find the retry code"), choice="none").grammar is None
    assert ask(user("Find it"), CALLED, result("x"), choice="required").grammar is not None


def test_arguments_are_taken_from_the_task():
    grammar = root(ask(user('Which file defines the "tool decorator"?')))
    assert json.dumps('"decorator"') in grammar
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


def test_results_stand_under_the_question_and_it_is_asked_again():
    head = {"role": "system", "content": "Be kind."}
    system, question, call, last = ask(head, user("Q?"), CALLED, result("R")).messages
    assert system == head
    assert question == {"role": "user", "content": "Q?"}
    assert call == {"role": "assistant", "content": 'grep_file(pattern="tool")'}
    assert last == {"role": "user", "content": "Result:\nR\n\nAnswer the question in one sentence: Q?"}


def test_long_results_are_cut_with_a_visible_mark():
    text = "word " * 5000
    last = ask(user("Q?"), CALLED, result(text)).messages[-1]["content"]
    assert "… [cut: " in last
    assert f" of {len(text)} characters]" in last
    assert last.endswith("Answer the question in one sentence: Q?")
    assert tokens(last) < 1200


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
