"""Sentences of the change detector: changes, likely causes, the detector card."""

CHANGES: dict[str, tuple[str, str]] = {
    "stat.detector_evidence": ("change score", "變化分數"),
    "stat.inputs_change": ("change of inputs", "輸入變化"),
    "stat.unseen_values": ("unseen values", "未見過的值"),
    "stat.latency_change": ("change of latency", "延遲變化"),
    "stat.error_rise": ("rise of the request error rate", "請求錯誤率上升"),
    "stat.traffic_change": ("change of traffic", "流量變化"),
    "stat.quality_change": ("change of quality", "預測品質變化"),
    # a headline without figures; they stand beside it
    "change.location_up": (
        "{column}: mean higher than expected",
        "{column}：平均值高於預期",
    ),
    "change.location_down": (
        "{column}: mean lower than expected",
        "{column}：平均值低於預期",
    ),
    "change.scale_up": (
        "{column}: spread larger than expected",
        "{column}：離散程度大於預期",
    ),
    "change.scale_down": (
        "{column}: spread smaller than expected",
        "{column}：離散程度小於預期",
    ),
    "change.skewness_up": (
        "{column}: skew higher than expected",
        "{column}：偏度高於預期",
    ),
    "change.skewness_down": (
        "{column}: skew lower than expected",
        "{column}：偏度低於預期",
    ),
    "change.kurtosis_up": (
        "{column}: more extreme values than expected",
        "{column}：極端值多於預期",
    ),
    "change.kurtosis_down": (
        "{column}: fewer extreme values than expected",
        "{column}：極端值少於預期",
    ),
    "change.category_up": (
        "{column}: one category more frequent than expected",
        "{column}：有一個類別多於預期",
    ),
    "change.category_down": (
        "{column}: one category less frequent than expected",
        "{column}：有一個類別少於預期",
    ),
    "change.missing_up": (
        "{column}: more missing values than expected",
        "{column}：缺值多於預期",
    ),
    "change.missing_down": (
        "{column}: fewer missing values than expected",
        "{column}：缺值少於預期",
    ),
    "change.unseen": (
        "{column}: values that are not in the reference",
        "{column}：出現參考資料沒有的值",
    ),
    "change.error_rate": (
        "request error rate higher than expected",
        "請求錯誤率高於預期",
    ),
    "change.wrong_share": (
        "misclassification rate higher than expected",
        "誤分類率高於預期",
    ),
    "change.traffic_up": ("more traffic than expected", "流量高於預期"),
    "change.traffic_down": ("less traffic than expected", "流量低於預期"),
    "change.silence": ("no traffic", "沒有流量"),
    "change.joint": ("all features shifted slightly", "所有特徵都小幅偏移"),
    "change.unknown": ("{column} changed", "{column}有變化"),
    "change.latency": ("latency", "延遲"),
    "change.prediction": ("prediction", "預測值"),
    "change.error": ("absolute error", "絕對誤差"),
    "change.together": ("reconstruction error", "重建誤差"),
    "change.and_others": (
        "{first}; {n} more columns changed too",
        "{first}；另有{n}個欄位同時變化",
    ),
    "change.and_other": ("{first}; {name} changed too", "{first}；{name}同時變化"),
    "change.over": ("{what}: ended", "{what}：已結束"),
    # one property that changed, with figures
    "moved.location": ("mean {size}", "平均值{size}"),
    "moved.scale": ("spread {size}", "離散程度{size}"),
    "moved.skewness": ("skew {size}", "偏度{size}"),
    "moved.kurtosis": ("extreme values {size}", "極端值{size}"),
    "moved.category": ("category share {size}", "類別占比{size}"),
    "moved.missing": ("missing values {size}", "缺值{size}"),
    "moved.unseen": ("unseen values {size}", "未見過的值{size}"),
    "moved.error_rate": ("request error rate {size}", "請求錯誤率{size}"),
    "moved.wrong_share": ("misclassification rate {size}", "誤分類率{size}"),
    "moved.traffic": ("traffic {size} of expected", "流量為預期的{size}"),
    "moved.more": ("and {n} more", "另外{n}項"),
    "moved.facts": ("since {at} ({age} ago)", "自{at}起（{age}前）"),
    "moved.facts_done": (
        "since {at} · lasted {age}",
        "自{at}起 · 持續{age}",
    ),
    "moved.expected": ("expected {value}", "預期{value}"),
    "moved.number": ("{statistic} {value}", "{statistic} {value}"),
    # findings about the detector itself
    "detector.learning": ("detector: learning", "變化偵測器：學習中"),
    "detector.warns": (
        "possible change: change score near the alert level",
        "可能有變化：變化分數接近警示線",
    ),
    "detector.warns_of": (
        "possible change in {column}: change score {score}, alert at 100%",
        "{column}可能有變化：變化分數{score}，達 100% 時發出警示",
    ),
    "detector.calm": ("detector: no change detected", "變化偵測器：未偵測到變化"),
    # likely causes; {since} is filled with cause.since or with nothing
    "cause.since": (" since {at}", "自{at}起"),
    "cause.missing": (
        "Likely cause: missing values in {columns}{since}. "
        "Fix the data source before retraining.",
        "可能原因：{columns} {since}有缺值。重新訓練前請先修復資料來源。",
    ),
    "cause.constant": (
        "Likely cause: {columns} stuck at one value{since}. "
        "Fix the data source before retraining.",
        "可能原因：{columns} {since}固定為單一值。重新訓練前請先修復資料來源。",
    ),
    "cause.zone": (
        "Likely cause: the daily pattern of {columns} is some hours early or late{since}. "
        "Check the time zone.",
        "可能原因：{columns}的每日型態{since}早了或晚了數小時。請檢查時區。",
    ),
    "cause.unit": (
        "Likely cause: unit change in {columns}{since}. "
        "Check the data source before retraining.",
        "可能原因：{columns}的單位{since}改變。重新訓練前請先檢查資料來源。",
    ),
    "cause.renamed": (
        "Likely cause: renamed category in {columns}{since}. "
        "Check the data source before retraining.",
        "可能原因：{columns}的類別{since}改名。重新訓練前請先檢查資料來源。",
    ),
    "cause.mix": (
        "Likely cause: the traffic mix changed{since}.",
        "可能原因：流量組成{since}改變。",
    ),
    "cause.mix_of": (
        "Likely cause: the traffic mix changed{since}: {segment}.",
        "可能原因：流量組成{since}改變：{segment}。",
    ),
    "cause.upstream": (
        "Likely cause: {columns} have a common source; they changed together{since}.",
        "可能原因：{columns}來自共同來源，{since}同時改變。",
    ),
    "cause.relation": (
        "Multivariate drift: correlations between features differ from the reference{since}; "
        "no single feature drifted.",
        "多變量漂移：特徵之間的相關性{since}與參考資料不同，但沒有單一特徵漂移。",
    ),
    "cause.segment": (
        "Likely cause: only one segment changed{since}.",
        "可能原因：{since}只有一個區隔改變。",
    ),
    "cause.segment_of": (
        "Likely cause: only the segment {segment} changed{since}.",
        "可能原因：{since}只有區隔{segment}改變。",
    ),
    "cause.season": (
        "Likely cause: season. {columns} looked the same a year ago.",
        "可能原因：季節。{columns}在一年前也是如此。",
    ),
    "cause.all_columns": ("several features", "多個特徵"),
    # the detector card
    "detector.title": ("Change detector", "變化偵測器"),
    "detector.caption": (
        "Change score per hour. An alert opens at 100%.",
        "每小時的變化分數，達 100% 時發出警示。",
    ),
    "detector.off_why": (
        "The detector of this model is off. To switch it on, set **enabled** to true "
        "in the model's section of the configuration.",
        "此模型的變化偵測器已關閉。要開啟，請將設定檔中該模型區段的 **enabled** 設為 true。",
    ),
    "detector.no_events": (
        "Learning starts with the first event.",
        "收到第一筆事件後開始學習。",
    ),
    "detector.until": (
        "Learning: day {done} of {days}. Detector alerts start {at}.",
        "學習中：第{done}天，共{days}天。{at}起發出偵測器警示。",
    ),
    "detector.too_thin": (
        "Insufficient data: too few hours with traffic. "
        "Checked again every day; no detector alerts until then.",
        "資料不足：有流量的小時太少。每天重新檢查，在此之前不發出偵測器警示。",
    ),
    "detector.open_n": ("Open changes: {n}", "未結變化：{n}"),
    "detector.open_why": (
        "No new alert for these columns until they have been back to normal for 24 h.",
        "這些欄位恢復正常滿 24 小時之前，不會再發出新的警示。",
    ),
    "detector.warn": (
        "Possible change in {signal}: change score {score}, alert at 100%.",
        "{signal}可能有變化：變化分數{score}，達 100% 時發出警示。",
    ),
    "detector.quiet": (
        "No change detected. Highest change score: {score} ({signal}); alert at 100%.",
        "未偵測到變化。最高變化分數{score}（{signal}），達 100% 時發出警示。",
    ),
    "detector.signals_learning": (
        "Signals still learning: {signals}.",
        "仍在學習的訊號：{signals}。",
    ),
    "detector.trending": (
        "{columns} drift inside the reference already, "
        "so only larger changes can be detected there.",
        "{columns}在參考資料中就有漂移，因此只能偵測到較大的變化。",
    ),
    "detector.trending_one": (
        "{columns} drifts inside the reference already, "
        "so only larger changes can be detected there.",
        "{columns}在參考資料中就有漂移，因此只能偵測到較大的變化。",
    ),
    "detector.thin": (
        "Low traffic: evaluated in windows of up to {hours} h.",
        "流量少：以最長{hours}小時的評估時間窗檢查。",
    ),
    "detector.other_weekday": (
        "{day} looks like a {weekday}. If it was a holiday, "
        "set **special_days** or **country** in the model's section of the configuration.",
        "{day}看起來像{weekday}。若當天是假日，"
        "請在設定檔中該模型的區段設定 **special_days** 或 **country**。",
    ),
    "weekday.0": ("Monday", "星期一"),
    "weekday.1": ("Tuesday", "星期二"),
    "weekday.2": ("Wednesday", "星期三"),
    "weekday.3": ("Thursday", "星期四"),
    "weekday.4": ("Friday", "星期五"),
    "weekday.5": ("Saturday", "星期六"),
    "weekday.6": ("Sunday", "星期日"),
    "detector.accepted": (
        "Last set as new normal at {at} by {by}.",
        "上次由{by}於{at}設為新常態。",
    ),
    "detector.since": ("since {at}", "自{at}起"),
    "detector.revised": (
        "The list of columns can change until {at}.",
        "欄位清單在{at}之前可能變更。",
    ),
    "detector.accept": ("Set as new normal", "設為新常態"),
    "detector.accept_one": (
        "Ends the open change and learns the data since {at} as normal. "
        "These signals pause 7 days. Cannot be undone.",
        "結束未結變化，並把{at}起的資料學為常態。這些訊號暫停偵測 7 天，無法復原。",
    ),
    "detector.accept_many": (
        "Ends {n} open changes and learns the data since {at} as normal. "
        "These signals pause 7 days. Cannot be undone.",
        "結束{n}個未結變化，並把{at}起的資料學為常態。這些訊號暫停偵測 7 天，無法復原。",
    ),
    "detector.accept_yes": ("Set", "設定"),
    "detector.accept_done": (
        "Set as new normal by {name}. "
        "The alerts resolve at the next evaluation, within a few minutes.",
        "已由{name}設為新常態。警示會在下次評估時解除，約需幾分鐘。",
    ),
    "detector.key": (
        "This dashboard's API key may not set a new normal: the scope admin is needed.",
        "此儀表板的 API 金鑰不能設為新常態：權限範圍需含 admin。",
    ),
    "detector.no_evidence": (
        "No change scores in this time range.",
        "此時間範圍內沒有變化分數。",
    ),
    "detector.alert_level": ("alert level", "警示線"),
    "detector.detectable": (
        "Minimum detectable change of {name} within 24 h (50% chance): {sizes}.",
        "{name}在 24 小時內的最小可偵測變化（機率 50%）：{sizes}。",
    ),
    "detector.undetectable": (
        "No rise in missing values is detectable within 24 h.",
        "24 小時內無法偵測到缺值增加。",
    ),
    "alt.evidence": (
        "Change score over time; highest {score}, alert at 100%",
        "變化分數的走勢；最高{score}，達 100% 時發出警示",
    ),
    "lane.inputs": ("inputs", "輸入"),
    "lane.segments": ("segments", "區隔"),
    "lane.quality": ("quality", "品質"),
    "lane.latency": ("latency", "延遲"),
    "lane.errors": ("errors", "錯誤"),
    "lane.traffic": ("traffic", "流量"),
    "lane.unseen": ("unseen values", "未見過的值"),
}
