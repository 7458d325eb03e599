"""Sentences of the page Ingestion."""

INGESTION: dict[str, tuple[str, str]] = {
    "nav.ingestion": ("Ingestion", "資料接收"),
    "ingestion.title": ("Is monitoring itself alive?", "監控本身正常嗎？"),
    "ingestion.adds_up": (
        "All {n} received rows are accounted for",
        "收到的{n}筆全部相符",
    ),
    "ingestion.missing": (
        "{n} of {of} received rows are unaccounted for: "
        "not stored, duplicate, refused or pending",
        "收到{of}筆，差額{n}筆：不在已儲存、重複、拒收或待寫入之中",
    ),
    "ingestion.too_many": (
        "{n} more rows are accounted for than the {of} received",
        "已儲存、重複、拒收與待寫入合計比收到的{of}筆多出{n}筆",
    ),
    "ingestion.pending": (
        "{n} rows are pending, the oldest for {wait}",
        "待寫入{n}筆，最久{wait}",
    ),
    "ingestion.none_pending": ("no rows are pending", "沒有待寫入的資料"),
    "ingestion.newest": ("the newest event is {age} old", "最新事件在{age}前"),
    "ingestion.stop": (".", "。"),
    "ingestion.nothing": ("No rows received yet.", "尚未收到任何資料。"),
    "ingestion.loaded": ("last load {at}, {age} ago", "上次載入{at}（{age}前）"),
    "ingestion.scope": ("all models, since the beginning", "所有模型，自開始以來"),
    "ingestion.problem": ("The server reports: {detail}", "伺服器回報：{detail}"),
    "ingestion.damage": (
        "Spool damaged: {size} unreadable in file {file} at byte {offset}. "
        "Accepted rows may be lost.",
        "暫存區損壞：檔案{file}第{offset}位元組起{size}無法讀取，已收下的資料可能遺失。",
    ),
    "ingestion.more_damage": ("{n} more places are damaged.", "另有{n}處損壞。"),
    "ingestion.spool_full": (
        "Spool {share} full ({used} of {capacity}). "
        "At 100% the server returns 503 and clients retry.",
        "暫存區已用{share}（{used}／{capacity}）。滿了之後伺服器回應 503，用戶端會重試。",
    ),
    "ingestion.quarantine_full": (
        "Quarantine {share} full ({used} of {capacity}). "
        "Each new row replaces the oldest.",
        "隔離區已用{share}（{used}／{capacity}）。每存一筆新的，最舊的一筆會被刪除。",
    ),
    "tile.received": ("Received", "已接收"),
    "tile.stored": ("Stored", "已儲存"),
    "tile.duplicate": ("Duplicate", "重複"),
    "tile.refused": ("Refused", "拒收"),
    "tile.pending": ("Pending", "待寫入"),
    "tile.newest": ("Newest event", "最新事件"),
    "tile.of_received": ("{share} of received", "占接收的{share}"),
    "tile.rows": ("rows", "筆"),
    "tile.oldest": ("oldest {wait}", "最久{wait}"),
    "tile.received_help": (
        "Events and labels of all models since the beginning. "
        "Received = stored + duplicate + refused + pending.",
        "所有模型自開始以來的事件與標籤。已接收＝已儲存＋重複＋拒收＋待寫入。",
    ),
    "tile.stored_help": (
        "Each event and each label in force, once.",
        "每筆事件與每筆有效標籤各存一次。",
    ),
    "tile.duplicate_help": (
        "Same event_id received again; not stored a second time.",
        "再次收到相同的 event_id，未重複儲存。",
    ),
    "tile.refused_help": (
        "Rows that cannot be used. The quarantine keeps them with the reason "
        "while there is space.",
        "無法使用的資料。空間足夠時，會連同原因保留在隔離區。",
    ),
    "tile.pending_help": (
        "Accepted and synced to disk, not in the database yet.",
        "已收下並寫入磁碟，尚未進入資料庫。",
    ),
    "tile.newest_help": ("The newest event is of {model}.", "最新事件來自{model}。"),
    "ingestion.hours": ("Rows by time received", "依接收時間的筆數"),
    "ingestion.hours_cap": (
        "all models, per {step}; lower panel, own scale: rows that were not stored",
        "所有模型，每{step}；下圖另用刻度：未儲存的資料",
    ),
    "ingestion.no_hours": (
        "No rows received in this time range.",
        "此時間範圍內沒有收到資料。",
    ),
    "ingestion.storage": ("Storage and integrity", "儲存空間與完整性"),
    "ingestion.spool": (
        "Spool: {used} of {capacity} pending",
        "暫存區：待寫入{used}／{capacity}",
    ),
    "ingestion.quarantine": (
        "Quarantine: {n} rows, {used} of {capacity}",
        "隔離區：{n}筆，已用{used}／{capacity}",
    ),
    "ingestion.unchecked": (
        "{n} stored rows not checked for duplicates: "
        "older than 24 h or beyond the last 4 million ids.",
        "{n}筆已儲存資料未檢查重複：早於 24 小時，或不在最近 400 萬個 id 之內。",
    ),
    "ingestion.all_checked": (
        "All stored rows were checked for duplicates.",
        "已儲存的資料都已檢查是否重複。",
    ),
    "ingestion.no_damage": ("Spool intact.", "暫存區完好。"),
    "ingestion.models": ("Models", "模型"),
    "ingestion.models_cap": (
        "rows received in the time range; unaccounted, pending and refused first",
        "所選時間範圍內收到的資料；有差額、待寫入、拒收者在前",
    ),
    "ingestion.search": ("Search models", "搜尋模型"),
    "ingestion.shown": (
        "{n} of {of} rows shown; search for the others",
        "顯示{of}列中的{n}列，其餘請搜尋",
    ),
    "ingestion.no_match": ("There is no model with this name.", "沒有這個名稱的模型。"),
    "ingestion.whole": ("✓ none", "✓ 無"),
    "ingestion.unaccounted": ("✗ {n} rows", "✗ {n}筆"),
    "ingestion.nameless": ("(no model)", "（無模型）"),
    "ingestion.reasons": ("Why rows were refused", "拒收原因"),
    "ingestion.reasons_cap": (
        "in the time range; … stands for what differs between rows",
        "所選時間範圍內；… 代表各筆不同之處",
    ),
    "ingestion.no_reasons": (
        "No rows were refused in this time range.",
        "此時間範圍內沒有拒收的資料。",
    ),
    "ingestion.mismatches": ("Type mismatches", "型別不符"),
    "ingestion.mismatches_cap": (
        "in the time range; the rows are stored: text in a number column counts as "
        "invalid, a number in a text column is stored as text",
        "所選時間範圍內；資料列仍會儲存：數字欄位中的文字計為無效值，文字欄位中的數字以文字儲存",
    ),
    "ingestion.no_mismatches": (
        "No type mismatches in this time range.",
        "此時間範圍內沒有型別不符的值。",
    ),
    "ingestion.hidden": ("not shown", "不顯示"),
    "ingestion.several": ("(several)", "（數個）"),
    "type.number": ("number", "數字"),
    "type.text": ("text", "文字"),
    "type.boolean": ("boolean", "布林"),
    "type.infinity": ("infinity", "無限大"),
    "type.other": ("other", "其他"),
    "ingestion.sample": ("Newest quarantined rows", "最新的隔離區資料"),
    "ingestion.sample_cap": (
        "`driftdeck quarantine` lists them and sends corrected rows again",
        "可用 `driftdeck quarantine` 列出，修正後重送",
    ),
    "ingestion.sample_empty": ("The quarantine is empty.", "隔離區是空的。"),
    "ingestion.sample_key": (
        "Quarantined rows hold the data as it was sent, so they need an API key with "
        "the scope admin. This dashboard's key may only read; all counts above are "
        "complete without it.",
        "隔離區資料含有原始內容，需要權限範圍含 admin 的 API 金鑰才能顯示。"
        "此儀表板的金鑰只能讀取；以上筆數不受影響，仍然完整。",
    ),
    "kind.events": ("events", "事件"),
    "kind.labels": ("labels", "標籤"),
    "col.model": ("Model", "模型"),
    "col.kind": ("Kind", "種類"),
    "col.received": ("Received", "已接收"),
    "col.stored": ("Stored", "已儲存"),
    "col.duplicate": ("Duplicate", "重複"),
    "col.refused": ("Refused", "拒收"),
    "col.pending": ("Pending", "待寫入"),
    "col.unaccounted": ("Unaccounted", "差額"),
    "col.newest": ("Newest event", "最新事件"),
    "col.age": ("Age", "距今"),
    "col.lag": ("Oldest pending", "最久待寫入"),
    "col.reason": ("Reason", "原因"),
    "col.rows": ("Rows", "筆數"),
    "col.values": ("Values", "值數"),
    "col.column": ("Column", "欄位"),
    "col.expected": ("Expected type", "應有型別"),
    "col.actual": ("Actual type", "實際型別"),
    "col.example": ("Example", "範例"),
    "col.newest_hour": ("Newest hour", "最近時段"),
    "col.row": ("Row", "原始內容"),
    "chart.stored": ("stored", "已儲存"),
    "chart.duplicate": ("duplicate", "重複"),
    "chart.refused": ("refused", "拒收"),
    "alt.receipts": (
        "Rows by time received: stored {stored}, duplicate {duplicate}, refused {refused}",
        "依接收時間的筆數：已儲存{stored}、重複{duplicate}、拒收{refused}",
    ),
    "alt.accounts": (
        "Row counts of each model, with data freshness",
        "各模型的筆數與資料新鮮度",
    ),
    "alt.reasons": (
        "Reasons for refused rows, the most frequent first",
        "拒收原因，最常見者在前",
    ),
    "alt.mismatches": (
        "Type mismatches by column, the most frequent first",
        "各欄的型別不符，最常見者在前",
    ),
    "alt.quarantine": (
        "The newest quarantined rows with their reasons",
        "最新的隔離區資料與原因",
    ),
}
