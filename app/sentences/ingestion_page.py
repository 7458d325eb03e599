"""What the page Ingestion says."""

ACCOUNTS: dict[str, tuple[str, str]] = {
    "ingestion.title": ("Is monitoring itself alive?", "監控本身正常嗎？"),
    "ingestion.adds_up": (
        "All {n} rows received are accounted for",
        "收到的 {n} 筆全部有下落",
    ),
    "ingestion.missing": (
        "{n} of {of} rows received are in no account",
        "收到的 {of} 筆中，有 {n} 筆沒有下落",
    ),
    "ingestion.too_many": (
        "{n} rows more are accounted for than the {of} received",
        "帳目比收到的 {of} 筆多出 {n} 筆",
    ),
    "ingestion.waiting": (
        "{n} wait to be stored, the oldest for {wait}",
        "{n} 筆等待存入，最久已等 {wait}",
    ),
    "ingestion.none_waiting": ("nothing is waiting", "沒有等待中的資料"),
    "ingestion.newest": ("the newest event is {age} old", "最新事件在 {age}前"),
    "ingestion.stop": (".", "。"),
    "ingestion.nothing": ("Nothing has been received yet.", "尚未收到任何資料。"),
    "ingestion.loaded": ("last load {age} ago ({at})", "上次載入在 {age}前（{at}）"),
    "ingestion.scope": ("all models, since the beginning", "所有模型，自開始以來"),
    "ingestion.problem": ("The server reports: {detail}", "伺服器回報：{detail}"),
    "ingestion.damage": (
        "The spool is damaged: {size} at byte {offset} of segment {segment} could not be read back, and with them rows that "
        "were acknowledged.",
        "暫存區有損壞：區段 {segment} 自第 {offset} 位元組起有 {size} 無法讀回，其中含已確認的資料。",
    ),
    "ingestion.more_damage": ("{n} more places are damaged.", "另有 {n} 處損壞。"),
    "ingestion.spool_full": (
        "The spool is nearly full. When it is full, senders are told to come again later (503).",
        "暫存區快滿了。滿了之後，傳送端會收到稍後再試（503）。",
    ),
    "ingestion.quarantine_full": (
        "The quarantine is nearly full: for every new record the oldest goes.",
        "隔離區快滿了：每存一筆新的，最舊的就會被移除。",
    ),
    "tile.received": ("Received", "已接收"),
    "tile.stored": ("Stored", "已存入"),
    "tile.duplicate": ("Duplicate", "重複"),
    "tile.refused": ("Refused", "拒收"),
    "tile.waiting": ("Waiting", "等待中"),
    "tile.newest": ("Newest event", "最新事件"),
    "tile.of_received": ("{share} of received", "占接收的 {share}"),
    "tile.rows": ("rows", "筆"),
    "tile.waits": ("oldest {wait}", "最久 {wait}"),
    "tile.received_help": (
        "Events and labels of all models since the beginning. Received = stored + duplicate + refused + waiting.",
        "所有模型自開始以來的事件與標籤。已接收＝已存入＋重複＋拒收＋等待中。",
    ),
    "tile.stored_help": (
        "Each event and each label that is in force, once.",
        "每筆事件與每筆有效標籤各存一次。",
    ),
    "tile.duplicate_help": (
        "Came again with the same event_id and was not stored a second time.",
        "以相同的 event_id 再次送達，未重複存入。",
    ),
    "tile.refused_help": (
        "Could not be used; kept in the quarantine with the reason, as long as there is room.",
        "無法使用的資料；只要空間足夠，會連同原因保留在隔離區。",
    ),
    "tile.waiting_help": (
        "Acknowledged and safe on disk, not yet in the database.",
        "已確認並安全寫入磁碟，尚未進入資料庫。",
    ),
    "tile.newest_help": ("The newest event is of {model}.", "最新事件來自 {model}。"),
    "ingestion.hours": ("Rows by time of receipt", "依接收時間的筆數"),
    "ingestion.hours_cap": (
        "all models, per {step}; below, on its own scale: what was not stored",
        "所有模型，每 {step}；下圖另用刻度：未存入的資料",
    ),
    "ingestion.no_hours": (
        "Nothing was received in this time range.",
        "此時間範圍內沒有收到資料。",
    ),
    "ingestion.room": ("Room and certainty", "空間與確定性"),
    "ingestion.spool": (
        "Spool: {used} of {most} waiting to be loaded",
        "暫存區：{most} 中有 {used} 等待載入",
    ),
    "ingestion.quarantine": (
        "Quarantine: {n} records, {used} of {most}",
        "隔離區：{n} 筆，{most} 中已用 {used}",
    ),
    "ingestion.unchecked": (
        "**{n}** stored rows are unchecked: they are too old for the list of recent ids, so a repeat of them with another "
        "time would not have been noticed.",
        "**{n}** 筆已存入的資料未經檢查：它們早於近期 id 清單的範圍，若以另一個時間重送，無法察覺。",
    ),
    "ingestion.all_checked": (
        "Every stored row was checked for repeats.",
        "每筆已存入的資料都已檢查是否重複。",
    ),
    "ingestion.no_damage": ("The spool is intact.", "暫存區完好。"),
    "ingestion.models": ("Models", "模型"),
    "ingestion.models_cap": (
        "received in the time range; what does not add up, waits or is refused comes first",
        "所選時間範圍內收到的資料；不相符、等待中、被拒收的排在前面",
    ),
    "ingestion.search": ("Search a model", "搜尋模型"),
    "ingestion.shown": (
        "{n} of {of} accounts shown; search for the others",
        "顯示 {of} 筆帳目中的 {n} 筆，其餘請搜尋",
    ),
    "ingestion.no_match": ("No model is called like this.", "沒有這個名稱的模型。"),
    "ingestion.yes": ("✓ adds up", "✓ 相符"),
    "ingestion.no": ("✗ {n} missing", "✗ 差 {n} 筆"),
    "ingestion.nameless": ("(no model)", "（無模型）"),
    "ingestion.reasons": ("Why rows were refused", "拒收原因"),
    "ingestion.reasons_cap": (
        "in the time range; … stands for what differs",
        "所選時間範圍內；… 代表各筆不同之處",
    ),
    "ingestion.no_reasons": (
        "Nothing was refused in this time range.",
        "此時間範圍內沒有拒收的資料。",
    ),
    "ingestion.mistyped": ("Values of the wrong type", "型別不符的值"),
    "ingestion.mistyped_cap": (
        "in the time range; the rows are kept: where a number was expected the value is counted as invalid, where text was "
        "expected a number is kept as its text",
        "所選時間範圍內；資料列仍保留：應為數字者計為無效，應為文字者以其文字保留",
    ),
    "ingestion.no_mistyped": (
        "Every value had the type of its column in this time range.",
        "此時間範圍內每個值的型別都與欄位相符。",
    ),
    "ingestion.hidden": ("not shown", "不顯示"),
    "ingestion.several": ("(several)", "（數個）"),
    "type.number": ("a number", "數字"),
    "type.text": ("text", "文字"),
    "type.boolean": ("a boolean", "布林"),
    "type.infinity": ("infinity", "無限大"),
    "type.other": ("other", "其他"),
    "ingestion.sample": ("Newest refused records", "最新的拒收資料"),
    "ingestion.sample_cap": (
        "`driftdeck quarantine` lists, mends and sends them again",
        "可用 `driftdeck quarantine` 列出、修正並重送",
    ),
    "ingestion.sample_empty": ("The quarantine is empty.", "隔離區是空的。"),
    "ingestion.sample_key": (
        "Refused records are shown to a key with the scope admin: they hold the data as it was sent. This dashboard's key may "
        "only read; the accounts above are complete without it.",
        "拒收的資料含有原始內容，只對具 admin 權限的金鑰顯示。此儀表板的金鑰只能讀取；以上帳目不受影響，仍然完整。",
    ),
    "kind.events": ("events", "事件"),
    "kind.labels": ("labels", "標籤"),
    "col.model": ("Model", "模型"),
    "col.kind": ("Kind", "種類"),
    "col.received": ("Received", "已接收"),
    "col.stored": ("Stored", "已存入"),
    "col.duplicate": ("Duplicate", "重複"),
    "col.refused": ("Refused", "拒收"),
    "col.pending": ("Waiting", "等待中"),
    "col.adds_up": ("Account", "帳目"),
    "col.newest": ("Newest event", "最新事件"),
    "col.age": ("Age", "距今"),
    "col.lag": ("Waits for", "已等待"),
    "col.reason": ("Reason", "原因"),
    "col.rows": ("Rows", "筆數"),
    "col.values": ("Values", "值數"),
    "col.column": ("Column", "欄位"),
    "col.expected": ("Expected", "應為"),
    "col.came": ("Came", "實際"),
    "col.one": ("One of them", "其中一個"),
    "col.newest_hour": ("Newest hour", "最近時段"),
    "col.record": ("Record", "原始內容"),
    "chart.stored": ("stored", "已存入"),
    "chart.duplicate": ("duplicate", "重複"),
    "chart.refused": ("refused", "拒收"),
    "alt.receipts": (
        "Rows by time of receipt: stored {stored}, duplicate {duplicate}, refused {refused}",
        "依接收時間的筆數：已存入 {stored}、重複 {duplicate}、拒收 {refused}",
    ),
    "alt.accounts": ("Accounts of each model, with freshness", "各模型的帳目與新鮮度"),
    "alt.reasons": (
        "Reasons for refusals, the most frequent first",
        "拒收原因，最常見者在前",
    ),
    "alt.mistyped": (
        "Values of the wrong type by column, the most frequent first",
        "各欄型別不符的值，最常見者在前",
    ),
    "alt.quarantine": (
        "The newest refused records with their reasons",
        "最新的拒收資料與原因",
    ),
    "nav.ingestion": ("Ingestion", "資料接收"),
}
