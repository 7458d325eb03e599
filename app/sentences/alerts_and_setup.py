"""Sentences of the pages Alerts and Setup."""

ALERTS_AND_SETUP: dict[str, tuple[str, str]] = {
    # alerts
    "alerts.title": ("What needs me?", "哪些要我處理？"),
    "alerts.open_n": ("Open alerts · {n}", "未結警示 · {n}"),
    "alerts.open_cap": ("most severe first", "最嚴重者在前"),
    "alerts.all_of": ("All {n} alerts", "全部{n}個警示"),
    "alerts.more": ("Show more ({n} of {of})", "顯示更多（{n}／{of}）"),
    "alerts.none_open": ("No open alerts for {model}.", "{model}沒有未結警示。"),
    "alerts.none": ("No alerts in this state.", "沒有此狀態的警示。"),
    "alerts.summary": (
        "{model}: {n} open alerts, {critical} critical, {unowned} not acknowledged.",
        "{model}：{n}個未結警示，其中{critical}個緊急，{unowned}個尚未認領。",
    ),
    "alerts.others": (
        "Other models: {n} open, {critical} critical.",
        "其他模型：{n}個未結，其中{critical}個緊急。",
    ),
    "alerts.others_none": (
        "Other models: no open alerts.",
        "其他模型：沒有未結警示。",
    ),
    "alerts.timeline": ("Alert timeline", "警示時間軸"),
    "alerts.timeline_cap": (
        "one bar per alert; red = critical, orange = warning, hatched = open",
        "每個警示一條；紅＝緊急，橘＝警告，斜線＝未結",
    ),
    "alerts.list": ("Alerts", "警示"),
    "alerts.filter": ("State", "狀態"),
    "alerts.you": ("Your name, shown to others", "您的名字（其他人會看到）"),
    "alerts.someone": ("unnamed user", "未具名使用者"),
    "alerts.acknowledge": ("Acknowledge", "認領"),
    "alerts.silence": ("Silence", "靜音"),
    "alerts.hours": ("{n} h", "{n}小時"),
    "alerts.days": ("{n} days", "{n}天"),
    "alerts.unsilence": ("End silence", "取消靜音"),
    "alerts.acked_by": ("acknowledged by {name}", "{name}已認領"),
    "alerts.silenced_left": ("silenced, {left} left", "已靜音，剩{left}"),
    "alerts.facts": (
        "{limit} · since {at} · open for {age}",
        "{limit} · 自{at}起 · 已持續{age}",
    ),
    "alerts.facts_done": (
        "{limit} · since {at} · lasted {age}",
        "{limit} · 自{at}起 · 持續{age}",
    ),
    "alerts.history": ("History and deliveries", "歷程與傳送紀錄"),
    "alerts.transitions": ("State changes", "狀態變更"),
    "alerts.deliveries": ("Deliveries", "傳送紀錄"),
    "alerts.no_deliveries": ("No notification sent.", "未發送通知。"),
    "alerts.no_transitions": ("No state changes recorded.", "沒有狀態變更紀錄。"),
    "alerts.times": (
        "since {since} · peak {peak} · seen in {count} evaluations",
        "自{since}起 · 最高{peak} · 出現於{count}次評估",
    ),
    "alerts.resolved_at": ("resolved {at}", "{at}解除"),
    "alerts.done_ack": ("Acknowledged by {name}.", "{name}已認領。"),
    "alerts.done_silence": ("Silenced for {left}.", "已靜音{left}。"),
    "alerts.done_unsilence": ("Silence ended.", "已取消靜音。"),
    "alerts.failed": ("Not done: {detail}", "未能完成：{detail}"),
    "delivery.delivered": ("delivered", "已送達"),
    "delivery.waiting": ("retrying", "重試中"),
    "delivery.failed": ("failed", "失敗"),
    "delivery.suppressed": ("suppressed", "未發送"),
    # setup
    "setup.title": ("How do I send data?", "如何串接？"),
    "setup.lead": (
        "No events received yet. Send one event in one of the ways below; "
        "this page shows it within seconds.",
        "尚未收到事件。請用以下任一方式送出一筆事件，此頁會在幾秒內顯示。",
    ),
    "setup.lead_more": (
        "{n} models send data. To add one, send events with a new model name.",
        "已有{n}個模型傳送資料。要新增模型，用新的模型名稱傳送事件即可。",
    ),
    "setup.status": ("Received events", "收到的事件"),
    "setup.waiting": ("Waiting for the first event …", "等待第一筆事件 …"),
    "setup.arrived": (
        "First event received: **{name}**.",
        "已收到第一筆事件：**{name}**。",
    ),
    "setup.seen": (
        "**{name}**: {n} events, newest {age} ago",
        "**{name}**：{n}筆事件，最新一筆在{age}前",
    ),
    "setup.open": ("Open the overview", "前往總覽"),
    "setup.server": ("Server: {url}", "伺服器：{url}"),
    "setup.step1": ("1 · One event, from the shell", "1 · 從命令列送出一筆事件"),
    "setup.step2": (
        "2 · From Python, standard library only",
        "2 · 從 Python 送出（只用標準函式庫）",
    ),
    "setup.step3": ("3 · The label, once it is known", "3 · 之後補上標籤"),
    "setup.step3_cap": (
        "with the same event_id; quality metrics need labels",
        "使用相同的 event_id；有標籤才能計算品質指標",
    ),
    "setup.required": (
        "Required: **model**, **ts** and **prediction**. All other fields are optional.",
        "必填：**model**、**ts** 與 **prediction**，其餘欄位皆可省略。",
    ),
    "setup.next": ("What happens next", "接下來"),
    "setup.next_1": (
        "Latency, errors and traffic appear within a minute.",
        "延遲、錯誤與流量會在一分鐘內出現。",
    ),
    "setup.next_2": (
        "The first events become a provisional reference; "
        "drift is checked against it from 200 events on.",
        "最初的事件會成為暫定參考資料，累積 200 筆後開始檢查漂移。",
    ),
    "setup.next_3": (
        "Labels may arrive later, in any order; quality metrics follow.",
        "標籤可以之後再送，順序不限，送達後就會計算品質指標。",
    ),
}
