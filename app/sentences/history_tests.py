"""Sentences about what is tried: the self-test of the detector, a limit over the stored history."""

TRIALS: dict[str, tuple[str, str]] = {
    "selftest.none": (
        "Its first self-test, on known changes put into a copy of the last week, runs when it has learned.",
        "第一次自我測試（把已知的變化放入上週資料的副本）會在學習完成後執行。",
    ),
    "selftest.title": (
        "Self-test of {at}: it finds {found} of {of} known changes within a week",
        "{at} 的自我測試：一週內發現 {of} 種已知變化中的 {found} 種",
    ),
    "selftest.what": (
        "Once a week known changes are put into a copy of the last seven days. So long it would have taken until somebody was called:",
        "每週一次，把已知的變化放入最近七天資料的副本。從變化開始到通知所需的時間：",
    ),
    "selftest.change": ("change", "變化"),
    "selftest.column": ("in", "位置"),
    "selftest.after": ("found after", "發現所需時間"),
    "selftest.not_found": ("not within the week", "一週內未發現"),
    "selftest.alt": (
        "Known changes and after how long each would have been found",
        "已知變化，以及各需多久才會發現",
    ),
    "selftest.quiet": (
        "Without a change the same week reaches {share} of the evidence that calls somebody.",
        "同一週在沒有變化時，證據最高為通知門檻的 {share}。",
    ),
    "selftest.quiet_pages": (
        "The week itself would have called somebody {n} times: what is open already cannot be found once more.",
        "該週本身就會通知 {n} 次：已經未結的變化無法再次發現。",
    ),
    "injected.mean_0_1_sd": ("mean +0.1 sd", "平均值 +0.1 標準差"),
    "injected.mean_0_2_sd": ("mean +0.2 sd", "平均值 +0.2 標準差"),
    "injected.mean_0_5_sd": ("mean +0.5 sd", "平均值 +0.5 標準差"),
    "injected.5_to_another_category": ("5% to another category", "5% 轉到另一類別"),
    "injected.10_missing": ("10% missing", "10% 缺值"),
    "injected.2_never_seen": ("2% never seen before", "2% 從未見過的值"),
    "injected.twice_the_errors": ("twice the errors", "錯誤加倍"),
    "injected.half_the_traffic": ("half the traffic", "流量減半"),
    "trial.title": ("Try a limit", "試用門檻"),
    "trial.caption": (
        "what it would have done over the stored history",
        "在已儲存的歷史資料上會有什麼結果",
    ),
    "trial.statistic": ("statistic", "統計量"),
    "trial.limit": ("limit", "門檻"),
    "trial.window": ("over", "時段"),
    "trial.columns": ("for", "對象"),
    "trial.all": ("every feature", "所有特徵"),
    "trial.go": ("Try it", "試用"),
    "trial.running": (
        "Going through the stored history; that may take a minute.",
        "正在檢視已儲存的歷史資料，可能需要一分鐘。",
    ),
    "trial.found": (
        "**{statistic} > {limit}** would have raised **{alerts} alerts** on {columns} of {of} columns from {from_} to {to}, "
        "and have been firing {share} of the time.",
        "從 {from_} 到 {to}，**{statistic} > {limit}** 會在 {of} 個欄位中的 {columns} 個發出 **{alerts} 次警示**，"
        "處於警示狀態的時間佔 {share}。",
    ),
    "trial.nothing": (
        "**{statistic} > {limit}** would have raised no alert on any of {of} columns from {from_} to {to}.",
        "從 {from_} 到 {to}，**{statistic} > {limit}** 在 {of} 個欄位上都不會發出警示。",
    ),
    "trial.never": (
        "**{statistic} > {limit}** could not be judged at any moment from {from_} to {to}: there were too few rows, or no column for it.",
        "從 {from_} 到 {to}，**{statistic} > {limit}** 在任何時刻都無法判斷：資料太少，或沒有適用的欄位。",
    ),
    "trial.more": (
        "{n} more alerts; **driftdeck replay** lists them.",
        "還有 {n} 次警示；**driftdeck replay** 會列出。",
    ),
    "trial.peak": ("highest {value}", "最高 {value}"),
    "trial.alt": (
        "Alerts that the limit would have raised, over time",
        "此門檻會發出的警示，依時間排列",
    ),
    "trial.switch_on": (
        "To switch it on, put this into driftdeck.toml:",
        "若要啟用，請將以下內容放入 driftdeck.toml：",
    ),
}
