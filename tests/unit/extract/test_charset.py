import pytest
from hypothesis import given
from hypothesis import strategies as st

from spyder.extract.charset import decode, encode_query, encoding_of_label, header_charset, sniff


@pytest.mark.parametrize(("label", "encoding"), [
    ("utf8", "utf-8"), (" UTF-8\n", "utf-8"), ("latin1", "windows-1252"), ("x-sjis", "shift_jis"),
    ("hz-gb-2312", "replacement"), ("utf-7", None), ("utf_8", None), ("", None)])
def test_label_means_the_encoding_of_the_standard(label, encoding):
    assert encoding_of_label(label) == encoding


@pytest.mark.parametrize(("content_type", "encoding"), [
    ("text/html; charset=utf-8", "utf-8"),
    ("TEXT/HTML;CHARSET=\"KOI8-R\"", "koi8-r"),
    ("text/html; a=\"; charset=utf-8\"; charset=gbk", "gbk"),
    ("text/html; charset=nonsense", None),
    ("text/html; charset=", None),
    ("text/html", None),
    ("", None),
    ("text/html; charset=utf-8, text/html", "utf-8"),
    ("text/html, text/html; charset=utf-8", "utf-8"),
    ("text/html; charset=utf-8, application/json; charset=gbk", "utf-8")])
def test_header_names_an_encoding(content_type, encoding):
    assert header_charset(content_type) == encoding


@given(st.text())
def test_no_header_breaks_the_reader(content_type):
    header_charset(content_type)


@pytest.mark.parametrize(("body", "content_type", "encoding"), [
    (b"\xef\xbb\xbfx", "text/html; charset=gbk", "utf-8"),
    (b"\xff\xfex\0", "text/html; charset=gbk", "utf-16le"),
    (b"\xfe\xff\0x", "", "utf-16be"),
    (b"<meta charset=gbk>", "text/html; charset=koi8-r", "koi8-r"),
    (b"<meta charset=gbk>", "text/html; charset=nonsense", "gbk"),
    (b"<meta charset=gbk>", "", "gbk"),
    (b"<META http-equiv=content-type content='text/html; charset=iso-8859-2'>", "", "iso-8859-2"),
    (b"<!-- <meta charset=gbk> -->\xe9", "", "windows-1252"),
    (b"<script>'<meta charset=iso-8859-2>'</script>", "", "iso-8859-2"),
    (b"<meta charset=utf-16>", "", "utf-8"),
    (b"<meta charset=x-user-defined>", "", "windows-1252"),
    (b"<meta charset=iso-2022-kr>", "", "replacement"),
    (b"<?xml version='1.0' encoding='koi8-r'?><html>", "", "koi8-r"),
    (b"<?xml version='1.0' encoding='koi8-r'?><meta charset=gbk>", "", "gbk"),
    (b"<\0?\0x\0m\0l\0", "", "utf-16le"),
    (b"x" * 2000 + b"<meta charset=gbk>\xe9", "", "gbk"),
    (b"plain", "", "windows-1252"),
    (b"caf\xe9", "", "windows-1252"),
    ("café".encode(), "", "utf-8"),
    ("café".encode()[:-1], "", "windows-1252"),
    (b"", "", "windows-1252")])
def test_document_is_in_the_encoding_that_browsers_choose(body, content_type, encoding):
    assert sniff(body, content_type) == encoding


@pytest.mark.parametrize(("text", "encoding"), [
    ("Les élèves ont été reçus à l'école; où êtes-vous allés cet été ?", "windows-1252"),
    ("Die Bürger können über die Straße gehen, während der König schläft.", "windows-1252"),
    ("Zażółć gęślą jaźń. Dzisiaj będzie piękna pogoda, proszę państwa.", "iso-8859-2"),
    ("Příliš žluťoučký kůň úpěl ďábelské ódy. Všechno je v pořádku.", "windows-1250"),
    ("Привет мир, это простой текст на русском языке, который должен быть распознан.", "windows-1251"),
    ("Καλημέρα κόσμε, αυτό είναι ένα απλό κείμενο στα ελληνικά.", "windows-1253"),
    ("Türkçe karakterler: güzel bir gün yaşıyoruz İstanbul'da, değil mi?", "windows-1254"),
    ("مرحبا بالعالم، هذا نص بسيط باللغة العربية للاختبار.", "windows-1256"),
    ("日本語のテキストです。これは文字コードの判定を確かめるための文章です。", "shift_jis"),
    ("日本語のテキストです。これは文字コードの判定を確かめるための文章です。", "euc-jp"),
    ("안녕하세요 세계, 이것은 한국어로 된 간단한 문장입니다.", "euc-kr"),
    ("你好世界，这是一个用来测试编码检测的简单中文文本。", "gbk"),
    ("你好世界，這是一個用來測試編碼檢測的簡單中文文本。", "big5")])
def test_encoding_that_nobody_declares_is_known_by_its_text(text, encoding):
    body = b"<html><body class=page>" + b" " * 70_000 + b"<p>" + text.encode(encoding)
    assert sniff(body, "text/html") == encoding


def test_few_characters_beyond_ascii_prove_nothing():
    assert sniff("три".encode("windows-1251"), "") == "windows-1252"


@pytest.mark.parametrize(("body", "content_type", "encoding"), [
    (b"\xff\xfe\0\0h\0\0\0", "", "utf-32le"),
    (b"\0\0\xfe\xff\0\0\0h", "text/html; charset=utf-32", "utf-32be"),
    (b"h\0\0\0", "text/html; charset=utf-32", "utf-32le"),
    (b"\0\0\0h", "text/html; charset=UTF-32", "utf-32be"),
    (b"plain", "text/html; charset=utf-32", "windows-1252"),
    (b"\0h\0i", "text/html; charset=utf-16", "utf-16be"),
    (b"h\0i\0", "text/html; charset=utf-16", "utf-16le"),
    (b"< meta http-equiv=content-type content='text/html; charset=koi8-r'>", "", "koi8-r"),
    (b"< meta charset=utf-16>", "", "windows-1252"),
    (b"plain", "application/xhtml+xml", "utf-8"),
    (b"<?xml version='1.0' encoding='koi8-r'?><meta charset='gbk'/>", "application/xhtml+xml", "koi8-r"),
    (b"<html><meta charset='gbk'/>", "Application/XHTML+XML;x", "gbk"),
    (b"<?xml version='1.0' encoding='utf-32'?>", "", "utf-8")])
def test_beyond_browsers_what_the_bytes_show_counts(body, content_type, encoding):
    assert sniff(body, content_type) == encoding


@pytest.mark.parametrize(("body", "encoding", "text"), [
    ("\ufeffé".encode(), "utf-8", "é"),
    (b"\xff\xfe\xe9\0", "utf-16le", "é"),
    (b"\xfe\xff\0\xe9", "UTF-16BE", "é"),
    (b"\xff\xfe\0\0\xe9\0\0\0", "utf-32le", "é"),
    (b"a\xffb", "utf-8", "a\ufffdb"),
    (b"\x80\x81", "latin1", "€\x81"),
    (b"\xf9\xda", "big5", "\u6052"),
    (b"x", "replacement", "\ufffd")])
def test_text_is_decoded_as_the_standard_says(body, encoding, text):
    assert decode(body, encoding) == text


def test_unknown_encoding_is_refused():
    with pytest.raises(LookupError, match="utf-7"):
        decode(b"x", "utf-7")


@given(st.binary(), st.sampled_from(["utf-8", "utf-16le", "gbk", "shift_jis", "iso-2022-jp", "windows-1252", "big5"]))
def test_any_bytes_give_text_that_can_be_written_again(body, encoding):
    decode(body, encoding).encode()


@pytest.mark.parametrize(("reference", "encoding", "expected"), [
    ("/é?q=é", "windows-1252", "/é?q=%E9"),
    ("/é?q=é", "utf-8", "/é?q=é"),
    ("/é?q=é", "utf-16le", "/é?q=é"),
    ("?q=日", "windows-1252", "?q=%26%2326085%3B"),
    ("?q=日", "shift_jis", "?q=%93%FA"),
    ("?q=x y", "gbk", "?q=x y")])
def test_query_is_encoded_as_the_page_is(reference, encoding, expected):
    assert encode_query(reference, encoding) == expected


@given(st.text(), st.sampled_from([
    "gbk", "gb18030", "big5", "shift_jis", "iso-2022-jp", "euc-jp", "euc-kr", "ibm866", "iso-8859-8-i", "iso-8859-10",
    "iso-8859-16", "koi8-u", "macintosh", "windows-874", "windows-1252", "windows-1258", "x-mac-cyrillic",
    "x-user-defined"]))
def test_every_query_can_be_encoded(text, encoding):
    encode_query(f"?{text}é", encoding)
