from kernelfield.cli.messages import one_line


def test_one_line():
    assert one_line("é\r\n\t\x1b]") == "é\\r\\n\\t\\x1b]"
