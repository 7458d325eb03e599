"""Sentences of the pages Overview, Service and Inputs."""

PAGES: dict[str, tuple[str, str]] = {
    "public": (
        "Whoever reaches this page sees and does what its key may.",
        "能開啟這個頁面的人，都能看到並執行其金鑰所允許的一切。",
    ),
    # overview
    "overview.title": ("Is the model OK right now?", "模型現在還好嗎？"),
    "overview.ok": (
        "{model} is OK: {n} checks within limits, {skipped} not checked.",
        "{model}正常：{n}項檢查在門檻內，{skipped}項未檢查。",
    ),
    "overview.more": ("{first}; and {n} more.", "{first}；另有{n}項。"),
    "overview.one": ("{first}.", "{first}。"),
    "overview.model": ("{model} · {sentence}", "{model} · {sentence}"),
    "semicolon": ("; ", "；"),
    "overview.insufficient": (
        "Insufficient data: no check has enough rows yet.",
        "資料不足：還沒有任何檢查達到所需筆數。",
    ),
    "overview.no_data": (
        "No data in the evaluation window.",
        "評估時間窗內沒有資料。",
    ),
    "overview.learning": (
        "Learning: the first events become the reference; checks start when it is complete.",
        "學習中：正在以最初的事件建立參考資料，完成後開始檢查。",
    ),
    "overview.unexplained": (
        "The server reports a problem without details.",
        "伺服器回報有問題，但沒有說明細節。",
    ),
    "overview.behind": (
        ":material/hourglass_top: Evaluating stored history, now at {at}. "
        "The status shown is the one at that time.",
        ":material/hourglass_top: 正在評估歷史資料，目前到{at}。畫面上是該時間點的狀態。",
    ),
    "overview.since": (
        "oldest open alert: since {at} ({age} ago)",
        "最早的未結警示：自{at}起（{age}前）",
    ),
    "overview.healthy": ("OK: {groups}", "正常：{groups}"),
    "overview.labels": ("labels up to {at}", "標籤已到{at}"),
    "overview.coverage": (
        "label coverage {share}, label delay {half} (median), {most} (95%)",
        "標籤涵蓋率{share}，標籤延遲中位數{half}、95% 在{most}內",
    ),
    "overview.labels_biased": (
        "Labelled predictions differ from the rest (PSI {psi}): "
        "the error holds for labelled predictions only.",
        "有標籤的預測與其他預測分布不同（PSI {psi}）：誤差只適用於有標籤者。",
    ),
    "overview.why": ("Why, and what to do", "原因與處理方式"),
    "overview.stale": (
        "stale data: newest event {at}, {age} ago",
        "資料過時：最新事件{at}（{age}前）",
    ),
    "list.last": ("{first} and {last}", "{first}與{last}"),
    "comma": (", ", "、"),
    "tile.predictions": ("Predictions", "預測數"),
    "tile.latency": ("p95 latency", "p95 延遲"),
    "tile.errors": ("Request errors", "請求錯誤率"),
    "tile.wrong_share": ("Misclassified", "誤分類率"),
    "tile.mean_absolute_error": ("MAE", "平均絕對誤差"),
    "tile.prediction_error": ("Quality", "預測品質"),
    "tile.drifted": ("Drifted features", "漂移特徵"),
    "tile.freshness": ("Data freshness", "資料新鮮度"),
    "tile.arrivals": (
        "Bars: events per {step}, newest on the right.",
        "長條：每{step}的事件數，最右為最新。",
    ),
    "tile.vs_week": ("in 7 days", "較前一週"),
    "tile.increase_help": (
        "n = {n} labelled predictions ({interval}). Reference {reference}; "
        "the limit is an increase of {limit}.",
        "有標籤的預測 n = {n}（{interval}）。參考資料為{reference}，上限為增加{limit}。",
    ),
    "tile.checked_help": (
        "Checked: {value} ({window}, n = {n}), {limit}.",
        "檢查值：{value}（{window}，n = {n}），{limit}。",
    ),
    "tile.weight": (
        "Drifted features have {share} of the importance.",
        "漂移特徵占重要度的{share}。",
    ),
    "tile.unaccounted": ("unaccounted", "差額"),
    "tile.unaccounted_n": ("{n} unaccounted", "差額{n}筆"),
    "tile.fresh_help": (
        "Received {received}: stored {stored}, duplicate {duplicate}, "
        "refused {refused}, pending {pending}.",
        "已接收{received}：已儲存{stored}、重複{duplicate}、拒收{refused}、待寫入{pending}。",
    ),
    "tile.lag_help": ("Load lag: {lag}.", "載入延遲：{lag}。"),
    # service
    "service.title": ("Is it up and fast?", "服務穩定嗎？"),
    "service.verdict": ("{requests}: {parts}.", "{requests}：{parts}。"),
    "service.requests": ("{n} requests", "{n}次請求"),
    "service.p95": ("p95 latency **{p95}** ({limit})", "p95 延遲 **{p95}**（{limit}）"),
    "service.rate": (
        "error rate **{rate}** ({limit})",
        "錯誤率 **{rate}**（{limit}）",
    ),
    "service.latency": ("Latency", "延遲"),
    "service.latency_cap": (
        "p50 to p95; dotted line is p99",
        "p50 至 p95；虛線為 p99",
    ),
    "service.errors": ("Request error rate", "請求錯誤率"),
    "service.errors_cap": (
        "failed requests ÷ requests; hatched bars are over the limit",
        "失敗的請求 ÷ 請求；斜線表示超過上限",
    ),
    "service.errors_ci": (
        "hatched = over the limit, pale = under 50 requests",
        "斜線＝超過上限，淡色＝不到 50 次請求",
    ),
    "service.traffic": ("Traffic", "流量"),
    "service.traffic_cap": (
        "requests per {step}; grey line is one week before",
        "每{step}的請求數；灰線為前一週",
    ),
    "service.versions": ("Versions", "版本"),
    "service.versions_cap": ("in the time range", "所選時間範圍內"),
    "service.no_version": ("(none)", "（無）"),
    "col.version": ("Version", "版本"),
    "col.requests": ("Requests", "請求數"),
    "col.error_rate": ("Request error rate", "請求錯誤率"),
    "col.interval": ("95% CI", "95% 信賴區間"),
    "col.first": ("First event", "首筆事件"),
    "col.last": ("Last event", "末筆事件"),
    "col.feature": ("Feature", "特徵"),
    "col.status": ("Status", "狀態"),
    "col.score": ("{statistic}, {window}", "{statistic}（{window}）"),
    "col.importance": ("Importance", "重要度"),
    "col.trend": ("Trend", "趨勢"),
    "col.channel": ("Channel", "通知管道"),
    "col.attempts": ("Attempts", "嘗試次數"),
    "col.at": ("At", "時間"),
    "col.detail": ("Detail", "說明"),
    "col.from": ("From", "由"),
    "col.to": ("To", "至"),
    "col.value": ("Value", "數值"),
    "col.by": ("By", "操作者"),
    # inputs
    "drift.title": ("What changed in the incoming data?", "進來的資料哪裡變了？"),
    "drift.none": ("None of {of} features drifted", "{of}個特徵都沒有漂移"),
    "drift.none_over": (
        "None of {of} features is over its limit in the newest {window}; "
        "the changes that the detector found are below.",
        "最近{window}內，{of}個特徵都未超過上限；偵測器發現的變化見下方。",
    ),
    "drift.some": ("{n} of {of} features drifted", "{of}個特徵中有{n}個漂移"),
    "drift.moved": (
        "Highest drift impact: **{name}**, mean {before} → {after} ({evidence}).",
        "漂移影響最大：**{name}**，平均值{before} → {after}（{evidence}）。",
    ),
    "drift.worst": (
        "Highest drift impact: **{name}** ({evidence}).",
        "漂移影響最大：**{name}**（{evidence}）。",
    ),
    "drift.importance": ("importance {share}", "重要度{share}"),
    "drift.new": (
        "**{name}**: new categories in {share} of rows.",
        "**{name}**：{share}的資料是新類別。",
    ),
    "drift.missing_moved": (
        "**{name}**: missing values {before} → {after} of rows.",
        "**{name}**：缺值占比{before} → {after}。",
    ),
    "drift.plain": (
        "{statistic} **{value}** (n = {n}), {limit}.",
        "{statistic} **{value}**（n = {n}），{limit}。",
    ),
    "drift.interval": (
        "{statistic} **{value}** ({interval}, n = {n}), {limit}.",
        "{statistic} **{value}**（{interval}，n = {n}），{limit}。",
    ),
    "drift.heat": (
        "Drift by feature, highest impact first",
        "各特徵漂移（依漂移影響排序）",
    ),
    "drift.heat_cap": (
        "{statistic} over {window}, every {step}; drift impact = drift × importance",
        "以{window}計算{statistic}，每{step}一次；漂移影響 = 漂移 × 重要度",
    ),
    "drift.heat_more": (
        "{n} of {of} features, those with the highest impact; the table has {listed}",
        "漂移影響最大的{n}個特徵（共{of}個）；下表列出{listed}個",
    ),
    "drift.table": ("All features", "所有特徵"),
    "drift.table_cap": (
        "select a row to see its distribution",
        "點選一列以查看其分布",
    ),
    "drift.compare": (
        "{name} · reference and current",
        "{name} · 參考資料與目前資料",
    ),
    "drift.compare_cap": ("lower panel: part of each bin", "下圖：各分箱的貢獻"),
    "drift.words": ("In words", "白話說明"),
    "drift.bin": (
        "The bin **{bin}** makes **{share}** of the drift: {before} → {after} of rows.",
        "分箱 **{bin}** 占漂移的 **{share}**：占比{before} → {after}。",
    ),
    "drift.quiet": (
        "The distribution looks like the reference. "
        "Largest difference: bin **{bin}**, {before} → {after} of rows.",
        "分布與參考資料相近。差異最大的是分箱 **{bin}**：占比{before} → {after}。",
    ),
    "drift.spread": (
        "**{n}** of {of} bins make 80% of it: the whole distribution shifted.",
        "{of}個分箱中的 **{n}** 個占了 80%：整體分布都有偏移。",
    ),
    "drift.new_value": (
        "**{value}** is a new category: {share} of rows, first seen {at}. "
        "The model was not trained on it.",
        "**{value}** 是新類別：占{share}，首見於{at}。模型訓練時沒有見過它。",
    ),
    "drift.missing_now": (
        "Missing values {before} → {after} of rows. "
        "Likely cause: a fault in the data source. Fix it before retraining.",
        "缺值占比{before} → {after}。可能原因：資料來源故障。重新訓練前請先修復。",
    ),
    "drift.detectable": (
        "Minimum detectable drift with this many rows: PSI {value}.",
        "以這樣的筆數，最小可偵測的漂移為 PSI {value}。",
    ),
    "drift.csv": ("CSV", "CSV"),
    "drift.reference_name": ("reference", "參考資料"),
    "drift.current_name": ("current", "目前資料"),
    "drift.part_axis": ("{statistic} part", "{statistic}貢獻"),
    "drift.no_columns": (
        "No feature can be compared yet. "
        "Drift starts when the model has a reference and events with features.",
        "目前沒有可比較的特徵。有參考資料與帶特徵的事件後，才會開始計算漂移。",
    ),
    "bin.other": ("other", "其他"),
    "bin.new": ("new category", "新類別"),
    "bin.missing": ("missing", "缺值"),
    "bin.invalid": ("invalid", "無效值"),
}
