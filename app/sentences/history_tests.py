"""Sentences of tests on history: the self-test of the detector, the replay of a rule."""

HISTORY_TESTS: dict[str, tuple[str, str]] = {
    "selftest.none": (
        "The first weekly self-test runs when learning is complete.",
        "學習完成後會執行第一次每週自我測試。",
    ),
    "selftest.title": (
        "Self-test of {at}: {found} of {of} injected changes detected within a week",
        "{at}的自我測試：一週內偵測到{of}種注入變化中的{found}種",
    ),
    "selftest.what": (
        "Weekly self-test: changes injected into a copy of the last 7 days. "
        "Detection delay of each:",
        "每週自我測試：在最近 7 天資料的副本中注入變化。各變化的偵測延遲：",
    ),
    "selftest.change": ("injected change", "注入的變化"),
    "selftest.column": ("column", "欄位"),
    "selftest.after": ("detection delay", "偵測延遲"),
    "selftest.not_found": ("not within a week", "一週內未偵測到"),
    "selftest.alt": (
        "Injected changes with the detection delay of each",
        "注入的變化與各自的偵測延遲",
    ),
    "selftest.control": (
        "Control run (nothing injected): no alerts, highest change score {score}.",
        "對照組（未注入變化）：沒有警示，最高變化分數{score}。",
    ),
    "selftest.control_alerts": (
        "Control run (nothing injected): {n} alerts. "
        "Columns with an open alert cannot be tested.",
        "對照組（未注入變化）：{n}則警示。有未結警示的欄位無法測試。",
    ),
    "injected.mean_0_1_sd": ("mean +0.1 sd", "平均值 +0.1 標準差"),
    "injected.mean_0_2_sd": ("mean +0.2 sd", "平均值 +0.2 標準差"),
    "injected.mean_0_5_sd": ("mean +0.5 sd", "平均值 +0.5 標準差"),
    "injected.5_to_another_category": ("5% to another category", "5% 轉到另一類別"),
    "injected.10_missing": ("10% missing values", "10% 缺值"),
    "injected.2_never_seen": ("2% unseen values", "2% 未見過的值"),
    "injected.twice_the_errors": ("twice the errors", "錯誤加倍"),
    "injected.half_the_traffic": ("half the traffic", "流量減半"),
    "replay.title": ("Replay a rule", "規則回溯測試"),
    "replay.caption": (
        "alerts that a limit would have opened in the stored history",
        "若使用此門檻，歷史資料中會發出的警示",
    ),
    "replay.statistic": ("Statistic", "統計量"),
    "replay.limit": ("Limit", "門檻"),
    "replay.window": ("Window", "評估時間窗"),
    "replay.columns": ("Features", "特徵"),
    "replay.all": ("all features", "所有特徵"),
    "replay.go": ("Replay", "執行"),
    "replay.running": (
        "Evaluating the stored history; this can take a minute.",
        "正在評估歷史資料，可能需要一分鐘。",
    ),
    "replay.found": (
        "**{statistic} > {limit}** would have opened **{alerts} alerts** "
        "on {columns} of {of} columns from {from_} to {to}, firing {share} of the time.",
        "從{from_}到{to}，**{statistic} > {limit}** 會在{of}個欄位中的{columns}個"
        "發出 **{alerts}則警示**，觸發中的時間占{share}。",
    ),
    "replay.nothing": (
        "**{statistic} > {limit}** would have opened no alert "
        "on any of {of} columns from {from_} to {to}.",
        "從{from_}到{to}，**{statistic} > {limit}** 在{of}個欄位上都不會發出警示。",
    ),
    "replay.never": (
        "**{statistic} > {limit}** could not be evaluated from {from_} to {to}: "
        "insufficient data, or no column for this statistic.",
        "從{from_}到{to}無法評估 **{statistic} > {limit}**："
        "資料不足，或沒有適用此統計量的欄位。",
    ),
    "replay.more": (
        "{n} more alerts; **driftdeck replay** lists them.",
        "還有{n}則警示；**driftdeck replay** 會列出。",
    ),
    "replay.peak": ("highest {value}", "最高{value}"),
    "replay.alt": (
        "Alerts that the limit would have opened, over time",
        "此門檻會發出的警示，依時間排列",
    ),
    "replay.switch_on": (
        "To switch the rule on, add this to driftdeck.toml:",
        "若要啟用此規則，請將以下內容加入 driftdeck.toml：",
    ),
}
